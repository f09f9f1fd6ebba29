//! What settings ask of each other, once each is within its own range.

use std::net::SocketAddr;

use super::Config;
use super::listen::ListenAddr;
use super::unit::Unit;
use crate::limits;

impl Config {
    /// Refuses settings that do not go together.
    ///
    /// # Errors
    /// Two of them exclude each other, or one lacks another.
    pub(crate) fn check(&self) -> Result<(), Conflict> {
        check_sizes(self)?;
        check_listeners(self)?;
        check_http(self)
    }
}

/// Checks what may be held against what is held for one stream.
fn check_sizes(config: &Config) -> Result<(), Conflict> {
    if config.lag_max > config.log_bytes {
        let log_bytes = Unit::Bytes.show(config.log_bytes as u64);
        let expected = format!("at most --log-bytes, which is {log_bytes}");
        return refuse("lag-max", 0, &expected);
    }
    let least = limits::MEMORY_MAX_LEAST.max(2 * config.log_bytes);
    if config.memory_max.is_some_and(|most| most < least) {
        let expected = format!(
            "0, or at least {} and twice --log-bytes",
            Unit::Bytes.show(limits::MEMORY_MAX_LEAST as u64)
        );
        return refuse("memory-max", 0, &expected);
    }
    Ok(())
}

/// A setting that does not go with another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The name of its option.
    pub option: &'static str,
    /// Which of its values it is, from 0.
    pub index: usize,
    /// What would go with the others.
    pub expected: String,
}

/// Refuses value number `index` of `option`.
fn refuse(option: &'static str, index: usize, expected: &str) -> Result<(), Conflict> {
    Err(Conflict {
        option,
        index,
        expected: expected.to_owned(),
    })
}

/// Whether two listeners would have an address in common.
fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let has_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (has_all || one.ip() == other.ip())
}

/// Checks what the listeners of HTTP ask of the others, and what goes with them.
fn check_http(config: &Config) -> Result<(), Conflict> {
    let is_open = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    if let Some(index) = config.admin.iter().position(is_open)
        && config.admin_token_file.is_none()
    {
        let expected = "a loopback address, or --admin-token-file as well";
        return refuse("admin", index, expected);
    }
    for (name, list) in [("http", &config.http), ("admin", &config.admin)] {
        let is_taken = |address: &SocketAddr| {
            let by_rtmp = config.listen.iter().filter_map(|listen| match listen {
                ListenAddr::Tcp(address) => Some(address),
                ListenAddr::Unix(_) => None,
            });
            let by_http = config.http.iter().filter(|_| name == "admin");
            let mut others = by_rtmp.chain(&config.listen_tls).chain(by_http);
            others.any(|other| overlap(address, other))
        };
        if let Some(index) = list.iter().position(is_taken) {
            return refuse(name, index, "an address that no other listener has");
        }
    }
    if config.http.is_empty() && !config.http_cors.is_empty() {
        return refuse("http-cors", 0, "--http as well");
    }
    if config.http.is_empty() && config.admin.is_empty() && !config.http_host.is_empty() {
        return refuse("http-host", 0, "--http or --admin as well");
    }
    if config.admin.is_empty() && config.admin_token_file.is_some() {
        return refuse("admin-token-file", 0, "--admin as well");
    }
    Ok(())
}

/// Checks what listeners, certificates and keys ask of each other.
fn check_listeners(config: &Config) -> Result<(), Conflict> {
    let is_plain = |address: &SocketAddr| {
        address.port() != 0 && config.listen.contains(&ListenAddr::Tcp(*address))
    };
    if let Some(index) = config.listen_tls.iter().position(is_plain) {
        return refuse(
            "listen-tls",
            index,
            "an address that --listen does not have",
        );
    }
    let (certificates, keys) = (config.tls_cert.len(), config.tls_key.len());
    if certificates > keys {
        return refuse("tls-cert", keys, "a --tls-key for each --tls-cert");
    }
    if keys > certificates {
        return refuse("tls-key", certificates, "a --tls-cert for each --tls-key");
    }
    if !config.listen_tls.is_empty() && certificates == 0 {
        return refuse("listen-tls", 0, "--tls-cert and --tls-key as well");
    }
    if config.listen_tls.is_empty() && certificates > 0 {
        return refuse("tls-cert", 0, "--listen-tls as well");
    }
    if config.listen_tls.is_empty() && config.listen.is_empty() {
        return refuse("listen", 0, "--listen-tls as well, or an address");
    }
    Ok(())
}
