//! The server's side of TLS: pairs of certificate and key, which of them a client gets, and how
//! they are replaced while connections go on.

#![expect(
    clippy::disallowed_types,
    reason = "pairs are replaced for all workers at once; a handshake takes the lock to clone one"
)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore, ServerConfig};

use super::{FileError, certificates, pem_words};
use crate::net::process::exposure;

/// A certificate file and the file of its key.
pub type Pair = (PathBuf, PathBuf);

/// What all TLS listeners share.
#[derive(Debug)]
pub struct ServerTls {
    files: Vec<Pair>,
    pairs: Arc<Pairs>,
    settings: Arc<ServerConfig>,
}

/// The pairs in force, never none.
#[derive(Debug)]
struct Pairs(Mutex<Vec<Arc<CertifiedKey>>>);

/// Pairs that were read, and what an operator ought to know about them.
#[derive(Debug)]
pub struct Loaded {
    keys: Vec<Arc<CertifiedKey>>,
    /// What is wrong, but not so wrong that it could not be used.
    pub warnings: Vec<String>,
}

impl ServerTls {
    /// Reads the pairs. The first is for clients that name no host, or one no certificate has.
    ///
    /// # Errors
    /// A file cannot be used, or a key is not that of its certificate.
    pub fn new(files: &[Pair]) -> Result<(Self, Vec<String>), FileError> {
        let provider = Arc::new(ring::default_provider());
        let loaded = load(files, &provider)?;
        let pairs = Arc::new(Pairs(Mutex::new(loaded.keys)));
        let mut settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(pairs.clone());
        // Clients that come back save a round trip and we a signature. Without it sessions would
        // be kept here.
        if let Ok(ticketer) = ring::Ticketer::new() {
            settings.ticketer = ticketer;
        }
        let tls = Self {
            files: files.to_vec(),
            pairs,
            settings: Arc::new(settings),
        };
        Ok((tls, loaded.warnings))
    }

    /// Reads the files again; handshakes from now on have what is there, connections go on. What
    /// an operator ought to know.
    ///
    /// # Errors
    /// A file cannot be used; everything stays as it was.
    pub fn reload(&self) -> Result<Vec<String>, FileError> {
        let loaded = load(&self.files, self.settings.crypto_provider())?;
        *self.pairs.lock() = loaded.keys;
        Ok(loaded.warnings)
    }

    pub(super) fn settings(&self) -> Arc<ServerConfig> {
        self.settings.clone()
    }
}

impl Pairs {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<CertifiedKey>>> {
        // It is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Pairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello
            .server_name()
            .and_then(|n| ServerName::try_from(n).ok());
        let pairs = self.lock();
        let named = name.and_then(|name| pairs.iter().find(|pair| is_for(pair, &name)));
        named.or_else(|| pairs.first()).cloned()
    }
}

/// Whether the certificate has this name.
fn is_for(pair: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = pair.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
}

fn load(files: &[Pair], provider: &CryptoProvider) -> Result<Loaded, FileError> {
    let mut loaded = Loaded {
        keys: Vec::new(),
        warnings: Vec::new(),
    };
    for (certificate, key) in files {
        let chain = certificates(certificate)?;
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| FileError::new(key, pem_words(&error)))?;
        let pair = CertifiedKey::from_der(chain, secret, provider).map_err(|error| {
            let wrong = match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("not the key of {}", certificate.display())
                }
                other => other.to_string(),
            };
            FileError::new(key, wrong)
        })?;
        loaded.warnings.extend(expiry(certificate, &pair, provider));
        loaded.warnings.extend(exposure(key, "the key"));
        loaded.keys.push(Arc::new(pair));
    }
    Ok(loaded)
}

/// What is to be said of a certificate whose time is over or has not begun. Others are not
/// judged: who issued it is for clients to trust.
fn expiry(path: &Path, pair: &CertifiedKey, provider: &CryptoProvider) -> Option<String> {
    let parsed = ParsedCertificate::try_from(pair.end_entity_cert().ok()?).ok()?;
    // Times are checked before issuers, so that it does not matter whom this trusts; it has to
    // be somebody.
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pair.cert.iter().cloned());
    let checked = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &roots,
        &[],
        UnixTime::now(),
        provider.signature_verification_algorithms.all,
    );
    let what = match checked {
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "has expired",
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => "is not valid yet",
        _ => return None,
    };
    Some(format!("{}: the certificate {what}", path.display()))
}
