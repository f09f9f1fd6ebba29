//! The client's side of TLS: whom to trust, and who the peer has to be. Verification cannot be
//! turned off.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::{FileError, certificates};

/// Whom outgoing connections trust. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTls {
    settings: Arc<ClientConfig>,
}

/// A peer to connect to by TLS: the name its certificate has to have, and who may say so.
#[derive(Clone)]
pub struct TlsName {
    name: ServerName<'static>,
    settings: Arc<ClientConfig>,
}

impl fmt::Debug for TlsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name.to_str())
    }
}

impl ClientTls {
    /// Trusts the certificates in the PEM files `authorities`, or what the system trusts when
    /// there are none.
    ///
    /// # Errors
    /// A file cannot be used, or the system trusts nobody.
    pub fn new(authorities: &[PathBuf]) -> Result<Self, FileError> {
        let mut roots = RootCertStore::empty();
        if authorities.is_empty() {
            let found = rustls_native_certs::load_native_certs();
            // Stores of systems have certificates that are too odd to be used; others do.
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = match found.errors.first() {
                    Some(error) => format!("no certificates of the system: {error}"),
                    None => "no certificates of the system; give --tls-ca".to_owned(),
                };
                return Err(FileError::new(&PathBuf::from("(system)"), why));
            }
        }
        for path in authorities {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| FileError::new(path, error.to_string()))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            settings: Arc::new(settings),
        })
    }

    /// The same, but every connection shakes hands in full, as clients that are strangers to each
    /// other do.
    #[must_use]
    pub fn without_resumption(&self) -> Self {
        let mut settings = (*self.settings).clone();
        settings.resumption = Resumption::disabled();
        Self {
            settings: Arc::new(settings),
        }
    }

    /// A peer called `host`, a domain name or an address without brackets; None when it can be
    /// neither.
    pub fn name(&self, host: &str) -> Option<TlsName> {
        let name = ServerName::try_from(host).ok()?.to_owned();
        Some(TlsName {
            name,
            settings: self.settings.clone(),
        })
    }
}

impl TlsName {
    pub(super) fn settings(&self) -> Arc<ClientConfig> {
        self.settings.clone()
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}
