//! What settings ask of each other, once each is within its own range.

use std::net::SocketAddr;

use super::listen::ListenAddr;
use super::unit::Unit;
use super::{Config, ConfigError, Got};
use crate::flags::value::{Values, refused};
use crate::limits;

/// Refuses settings that do not go together; `values` are what they were read from.
///
/// # Errors
/// Two of them exclude each other, or one lacks another.
pub(super) fn check(config: &Config, values: &Values<'_>) -> Result<(), ConfigError> {
    check_sizes(config, values)?;
    check_listeners(config, values)?;
    check_http(config, values)
}

/// Checks what may be held against what is held for one stream.
fn check_sizes(config: &Config, values: &Values<'_>) -> Result<(), ConfigError> {
    if config.lag_max > config.log_bytes {
        let log_bytes = Unit::Bytes.show(config.log_bytes as u64);
        let expected = format!("at most --log-bytes, which is {log_bytes}");
        return Err(refused(values.one("lag-max").1, expected));
    }
    let least = limits::MEMORY_MAX_LEAST.max(2 * config.log_bytes);
    if config.memory_max.is_some_and(|most| most < least) {
        let expected = format!(
            "0, or at least {} and twice --log-bytes",
            Unit::Bytes.show(limits::MEMORY_MAX_LEAST as u64)
        );
        return Err(refused(values.one("memory-max").1, expected));
    }
    Ok(())
}

/// Refuses what was given for `name` as its value number `index`.
fn refuse(
    values: &Values<'_>,
    name: &str,
    index: usize,
    expected: &str,
) -> Result<(), ConfigError> {
    let given = values.all(name).1.into_iter().nth(index);
    let flag = format!("--{name}");
    let (flag, value) = match given {
        Some(given) => (given.flag, Got::Value(given.value)),
        None => (flag, Got::Nothing),
    };
    Err(ConfigError {
        flag,
        value,
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
fn check_http(config: &Config, values: &Values<'_>) -> Result<(), ConfigError> {
    let refuse = |name, index, expected| refuse(values, name, index, expected);
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
fn check_listeners(config: &Config, values: &Values<'_>) -> Result<(), ConfigError> {
    let refuse = |name, index, expected| refuse(values, name, index, expected);
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

#[cfg(test)]
mod tests {
    use crate::config::tests::{check_refused, config, outcome};
    use crate::flags::Opt;

    #[test]
    fn listeners_of_http_have_addresses_of_their_own_and_open_ones_a_token() {
        let token = ["--admin-token-file", "token"];
        config(&["--http", "8080", "--admin", "9090", "--http-cors", "*"]);
        config(&[&["--admin", "0.0.0.0:9090"][..], &token].concat());
        for (args, expected) in [
            (
                vec!["--admin", "0.0.0.0:9090"],
                "--admin: got \"0.0.0.0:9090\"; expected a loopback address, or \
                 --admin-token-file as well",
            ),
            (
                vec!["--http", "1935"],
                "--http: got \"1935\"; expected an address that no other listener has",
            ),
            (
                vec!["--http", "127.0.0.1:9090", "--admin", "9090"],
                "--admin: got \"9090\"; expected an address that no other listener has",
            ),
            (
                vec!["--http", "9090", "--admin", "9090"],
                "--admin: got \"9090\"; expected an address that no other listener has",
            ),
            (
                vec!["--http-cors", "*"],
                "--http-cors: got \"*\"; expected --http as well",
            ),
            (
                vec!["--http-host", "tv.example"],
                "--http-host: got \"tv.example\"; expected --http or --admin as well",
            ),
            (
                vec!["--http", "8080", "--http-host", "tv.example:80"],
                "--http-host: got \"tv.example:80\"; expected the name of a host, such as \
                 tv.example, without a port",
            ),
            (
                token.to_vec(),
                "--admin-token-file: got \"token\"; expected --admin as well",
            ),
        ] {
            let error = outcome(&args).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn tls_listeners_need_pairs_and_pairs_need_listeners() {
        let tls = ["--listen-tls", "1936"];
        let pair = ["--tls-cert", "a.pem", "--tls-key", "a.key"];
        let two = config(&[&tls[..], &pair, &pair].concat());
        assert_eq!(two.tls_cert.len(), 2);
        let none = ["--listen", "none"];
        assert!(config(&[&none[..], &tls, &pair].concat()).listen.is_empty());
        let taken = ["--listen", "1936"];
        for (args, expected) in [
            (
                vec![&tls[..]],
                "--listen-tls: got \"1936\"; expected --tls-cert and --tls-key as well",
            ),
            (
                vec![&pair[..]],
                "--tls-cert: got \"a.pem\"; expected --listen-tls as well",
            ),
            (
                vec![&tls[..], &pair[..2]],
                "--tls-cert: got \"a.pem\"; expected a --tls-key for each --tls-cert",
            ),
            (
                vec![&tls[..], &pair, &pair[2..]],
                "--tls-key: got \"a.key\"; expected a --tls-cert for each --tls-key",
            ),
            (
                vec![&tls[..], &pair, &taken],
                "--listen-tls: got \"1936\"; expected an address that --listen does not have",
            ),
            (
                vec![&none[..]],
                "--listen: got \"none\"; expected --listen-tls as well, or an address",
            ),
        ] {
            let error = outcome(&args.concat()).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
        check_refused("tls-ca", "", &Opt::find("tls-ca").unwrap().range());
    }

    #[test]
    fn a_lag_that_the_log_cannot_serve_is_refused() {
        let expected = "expected at most --log-bytes, which is";
        let error = outcome(&["--lag-max", "32m"]).unwrap_err().to_string();
        assert_eq!(error, format!("--lag-max: got \"32m\"; {expected} 16 MiB"));
        // One that was not given follows the log.
        assert_eq!(config(&["--log-bytes", "1m"]).lag_max, 1 << 20);
        for (size, bytes) in [("256k", 256 << 10), ("1g", 1 << 30)] {
            let config = config(&["--log-bytes", size, "--lag-max", size]);
            assert_eq!((config.log_bytes, config.lag_max), (bytes, bytes));
        }
    }

    #[test]
    fn a_memory_that_two_logs_would_fill_is_refused() {
        let expected = "0, or at least 64 MiB and twice --log-bytes";
        check_refused("memory-max", "63m", expected);
        assert_eq!(config(&["--memory-max", "64m"]).memory_max, Some(64 << 20));
        let large = ["--log-bytes", "1g", "--memory-max"];
        assert!(outcome(&[&large[..], &["2047m"]].concat()).is_err());
        assert!(outcome(&[&large[..], &["2g"]].concat()).is_ok());
    }
}
