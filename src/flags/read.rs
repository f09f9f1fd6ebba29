//! From strings to the configuration.
//!
//! Not here: how a value of one kind is read (`value`), and what settings ask of each other
//! (`config`).

use super::value::Values;
use super::{Opt, Raw};
use crate::config::{Config, ConfigError, Conflict, Got};

/// The defaults of the table, read like any other value.
impl Default for Config {
    fn default() -> Self {
        let defaults = Raw::default().to_config();
        defaults.expect("the defaults in the table are valid")
    }
}

impl Raw {
    /// Checks what was given and fills in the defaults.
    pub fn to_config(&self) -> Result<Config, ConfigError> {
        let values = Values::new(self);
        let mut config = Config {
            admin: values.admin("admin")?,
            admin_token_file: values.path("admin-token-file")?,
            app: values.apps("app")?,
            backlog: values.number("backlog")?,
            chunk_size: values.number("chunk-size")?,
            cpus: values.cpus("cpus")?,
            file: None,
            reuse_port_with_others: false,
            drain: values.time("drain")?,
            gop_cache: values.switch("gop-cache")?,
            grace: values.time("grace")?,
            handshake_timeout: values.time("handshake-timeout")?,
            http: values.addresses("http")?,
            http_cors: values.origins("http-cors")?,
            http_host: values.hosts("http-host")?,
            lag_max: values.number("lag-max")?,
            limit_loopback: values.switch("limit-loopback")?,
            listen: values.listen("listen")?,
            listen_tls: values.addresses("listen-tls")?,
            log: values.log("log")?,
            log_bytes: values.number("log-bytes")?,
            max_connections: nonzero(values.number("max-connections")?),
            max_per_address: nonzero(values.number("max-per-address")?),
            max_streams: nonzero(values.number("max-streams")?),
            memory_max: nonzero(values.number("memory-max")?),
            nodelay: values.switch("nodelay")?,
            pace: values.pace("pace")?,
            pace_max: values.time("pace-max")?,
            ping: Some(values.time("ping")?).filter(|time| !time.is_zero()),
            play_wait: values.time("play-wait")?,
            proxy_protocol: values.proxies("proxy-protocol")?,
            publish_bitrate_max: Some(values.number("publish-bitrate-max")?)
                .filter(|&rate| rate != 0),
            publish_idle: values.time("publish-idle")?,
            pull: values.rules("pull")?,
            pull_give_up: values.time("pull-give-up")?,
            pull_linger: values.time("pull-linger")?,
            pull_timeout: values.time("pull-timeout")?,
            push: values.rules("push")?,
            push_strict: values.switch("push-strict")?,
            rcvbuf: nonzero(values.number("rcvbuf")?),
            read_budget: values.number("read-budget")?,
            redirect_allow: values.allowed_hosts("redirect-allow")?,
            reconnect_to: values.url("reconnect-to")?,
            send_timeout: values.time("send-timeout")?,
            setup_timeout: values.time("setup-timeout")?,
            skips_max: nonzero(values.number("skips-max")?),
            sndbuf: nonzero(values.number("sndbuf")?),
            stats_interval: Some(values.time("stats-interval")?).filter(|time| !time.is_zero()),
            takeover: values.takeover("takeover")?,
            tls_ca: values.paths("tls-ca")?,
            tls_cert: values.paths("tls-cert")?,
            tls_key: values.paths("tls-key")?,
            window: values.time("window")?,
            window_ack: values.number("window-ack")?,
            workers: nonzero(values.number("workers")?),
        };
        if !self.is_given("lag-max") {
            config.lag_max = config.lag_max.min(config.log_bytes);
        }
        config.check().map_err(|conflict| self.refused(conflict))?;
        Ok(config)
    }

    /// The error for a setting that does not go with another, with what was given for it.
    fn refused(&self, conflict: Conflict) -> ConfigError {
        let Conflict {
            option,
            index,
            expected,
        } = conflict;
        let opt = Opt::find(option).expect("a setting has a row in the table");
        let (flag, value) = match self.values(opt).into_iter().nth(index) {
            Some(given) => (given.flag, Got::Value(given.value)),
            None => (format!("--{option}"), Got::Nothing),
        };
        ConfigError {
            flag,
            value,
            expected,
        }
    }
}

fn nonzero(number: usize) -> Option<usize> {
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests;
