//! The settings in effect as text: what --print-config prints, and a `--config` file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Accepts, Opt, settings};
use crate::config::listen::{ListenAddr, Proxies};
use crate::config::{Config, Pace, Switch, Takeover};
use crate::edge::redirect::AllowedHost;
use crate::edge::rule::{self, Rule};

/// The values in effect, `name = value` a line, as a `--config` file. Reading it gives an equal
/// configuration.
pub(super) fn text(config: &Config) -> String {
    let mut text = String::new();
    for opt in settings() {
        let values = opt.shown(config);
        if values.is_empty() && opt.default.is_empty() {
            text.push_str(&format!("# {} =\n", opt.name));
        } else if values.is_empty() {
            // Only `log` has a meaning of its own when absent.
            text.push_str(&format!("# {} = {}, or RUST_LOG\n", opt.name, opt.default));
        }
        for value in values {
            text.push_str(&format!("{} = {value}\n", opt.name));
        }
    }
    text
}

impl Opt {
    /// The values of this option as everybody may see them: of other servers without what may be
    /// a key.
    pub fn public(&self, config: &Config) -> Vec<String> {
        match self.name {
            "pull" => rule::labels(&config.pull),
            "push" => rule::labels(&config.push),
            // It may have a query.
            "reconnect-to" if config.reconnect_to.is_some() => vec!["set".to_owned()],
            _ => self.shown(config),
        }
    }

    /// The values of this option as they would be given.
    fn shown(&self, config: &Config) -> Vec<String> {
        let amount = |amount: u64| match self.accepts {
            Accepts::Amount { unit, .. } => vec![unit.show(amount)],
            Accepts::Nothing | Accepts::Words(_) | Accepts::Text(_) => vec![amount.to_string()],
        };
        let size = |size: usize| amount(size as u64);
        let time = |time: Duration| amount(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let word = |word: &str| vec![word.to_owned()];
        let rules = |rules: &[Rule]| shown_or_none(rules.iter().map(Rule::to_string));
        let paths = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect();
        let hosts = |hosts: &[AllowedHost]| shown_or_none(hosts.iter().map(AllowedHost::to_string));
        let switch = |switch: Switch| word(if switch.is_on() { "on" } else { "off" });
        match self.name {
            "backlog" => amount(config.backlog.into()),
            "chunk-size" => amount(config.chunk_size.into()),
            "cpus" => vec![config.cpus.to_string()],
            "drain" => time(config.drain),
            "gop-cache" => switch(config.gop_cache),
            "grace" => time(config.grace),
            "handshake-timeout" => time(config.handshake_timeout),
            "lag-max" => size(config.lag_max),
            "limit-loopback" => switch(config.limit_loopback),
            "log" => config.log.iter().cloned().collect(),
            "log-bytes" => size(config.log_bytes),
            "max-connections" => size(config.max_connections.unwrap_or(0)),
            "max-per-address" => size(config.max_per_address.unwrap_or(0)),
            "max-streams" => size(config.max_streams.unwrap_or(0)),
            "memory-max" => size(config.memory_max.unwrap_or(0)),
            "nodelay" => switch(config.nodelay),
            "pace" => match config.pace {
                Pace::Auto => word("auto"),
                Pace::Fixed(interval) => time(interval),
            },
            "pace-max" => time(config.pace_max),
            "ping" => time(config.ping.unwrap_or(Duration::ZERO)),
            "play-wait" => time(config.play_wait),
            "publish-bitrate-max" => amount(config.publish_bitrate_max.unwrap_or(0)),
            "publish-idle" => time(config.publish_idle),
            "pull" => rules(&config.pull),
            "pull-give-up" => time(config.pull_give_up),
            "pull-linger" => time(config.pull_linger),
            "pull-timeout" => time(config.pull_timeout),
            "push" => rules(&config.push),
            "push-strict" => switch(config.push_strict),
            "rcvbuf" => size(config.rcvbuf.unwrap_or(0)),
            "read-budget" => size(config.read_budget),
            "redirect-allow" => hosts(&config.redirect_allow),
            "reconnect-to" => word(config.reconnect_to.as_deref().unwrap_or("same")),
            "send-timeout" => time(config.send_timeout),
            "setup-timeout" => time(config.setup_timeout),
            "skips-max" => size(config.skips_max.unwrap_or(0)),
            "sndbuf" => size(config.sndbuf.unwrap_or(0)),
            "stats-interval" => time(config.stats_interval.unwrap_or(Duration::ZERO)),
            "takeover" => word(match config.takeover {
                Takeover::Refuse => "refuse",
                Takeover::Replace => "replace",
            }),
            "tls-ca" => paths(&config.tls_ca),
            "tls-cert" => paths(&config.tls_cert),
            "tls-key" => paths(&config.tls_key),
            "window" => time(config.window),
            "window-ack" => amount(config.window_ack.into()),
            "workers" => size(config.workers.unwrap_or(0)),
            _ => self.shown_of_listeners(config),
        }
    }

    /// The values of this option, one of listeners, as they would be given.
    fn shown_of_listeners(&self, config: &Config) -> Vec<String> {
        let token = config.admin_token_file.iter();
        match self.name {
            "admin" => addresses(&config.admin),
            "admin-token-file" => shown_or_none(token.map(|path| path.display().to_string())),
            "app" if config.app.is_empty() => vec!["*".to_owned()],
            "app" => config.app.clone(),
            "listen" if config.listen.is_empty() => vec!["none".to_owned()],
            "listen" => config.listen.iter().map(ListenAddr::to_string).collect(),
            "listen-tls" => addresses(&config.listen_tls),
            "proxy-protocol" => config
                .proxy_protocol
                .iter()
                .map(Proxies::to_string)
                .collect(),
            "http" => addresses(&config.http),
            "http-cors" => config.http_cors.clone(),
            "http-host" => config.http_host.clone(),
            _ => Vec::new(),
        }
    }
}

fn addresses(list: &[SocketAddr]) -> Vec<String> {
    list.iter().map(SocketAddr::to_string).collect()
}

/// What there is of a list, or the word for an empty one.
fn shown_or_none(values: impl Iterator<Item = String>) -> Vec<String> {
    let shown: Vec<String> = values.collect();
    if shown.is_empty() {
        return vec!["none".to_owned()];
    }
    shown
}

#[cfg(test)]
mod tests {
    use crate::flags::{Raw, settings};

    /// A value for every setting that is not its default, as it is printed.
    const OTHER: &str = "\
app = live
app = studio/one
backlog = 1
listen = 127.0.0.1:0
listen = [::1]:1936
listen = unix:/run/tailwater.sock
listen-tls = 127.0.0.1:1937
proxy-protocol = 10.0.0.0/8
proxy-protocol = unix
tls-ca = ca.pem
tls-cert = a.pem
tls-key = a.key
cpus = 0,2,3
workers = 2
pace = 20 ms
pace-max = 100 ms
read-budget = 8 KiB
gop-cache = off
grace = 1500 ms
lag-max = 1 MiB
log-bytes = 2 MiB
play-wait = 0 s
takeover = replace
window = 60 s
pull = live=rtmp://a/x?key=1,rtmps://b
pull = rtmp://c:7/{app}/{stream}?{query}
pull-give-up = 7 s
pull-linger = 0 s
pull-timeout = 3 s
push = live=rtmp://d/e
push-strict = on
redirect-allow = c.example:7
redirect-allow = [::1]
admin = [::1]:9090
admin-token-file = token
http = 127.0.0.1:8080
http-cors = https://tv.example
http-cors = http://localhost:3000
http-host = tv.example
limit-loopback = on
max-connections = 500
max-per-address = 0
max-streams = 7
memory-max = 1 GiB
publish-bitrate-max = 20 Mbit/s
skips-max = 3
drain = 1 s
handshake-timeout = 3 s
publish-idle = 5 s
reconnect-to = rtmp://other:7/live
send-timeout = 7 s
setup-timeout = 9 s
chunk-size = 4097
nodelay = off
ping = 0 s
rcvbuf = 64 KiB
sndbuf = 128 KiB
window-ack = 10000
log = info,tailwater::edge=debug
stats-interval = 2 s
";

    /// The configuration in a file, what is printed of it, and that this reads back as the same.
    #[track_caller]
    fn printed(text: &str) -> String {
        let read = |text| Raw::from_file_text("text", text)?.to_config();
        let config = read(text).unwrap();
        let printed = super::text(&config);
        assert_eq!(read(&printed), Ok(config), "{printed}");
        printed
    }

    #[test]
    fn what_is_printed_reads_back() {
        let defaults = printed("");
        for opt in settings() {
            let line = match opt.default {
                "" => format!("# {} =\n", opt.name),
                default => format!("{} = {default}\n", opt.name),
            };
            assert!(
                defaults.contains(&line) || opt.name == "log",
                "{line} in {defaults}"
            );
        }
        assert!(
            defaults.contains("\n# log = info, or RUST_LOG\n"),
            "{defaults}"
        );
        assert_eq!(defaults.lines().count(), settings().count());
        assert_eq!(printed(OTHER), OTHER);
    }

    #[test]
    fn each_setting_has_a_field_of_its_own() {
        let defaults = printed("");
        for opt in settings() {
            let is_its = |line: &&str| line.split(" = ").next() == Some(opt.name);
            let lines: Vec<&str> = OTHER.lines().filter(is_its).collect();
            // A log below the default lag would be refused.
            let text = match opt.name {
                "log-bytes" => "log-bytes = 32 MiB".to_owned(),
                // These go together, and are told apart by `what_is_printed_reads_back`.
                "listen-tls" | "tls-cert" | "tls-key" | "admin-token-file" | "http-cors"
                | "http-host" => {
                    continue;
                }
                _ => lines.join("\n"),
            };
            assert!(!lines.is_empty(), "{}", opt.name);
            let others = |text: &str| {
                let is_other = |line: &&str| !is_its(line) && !line.starts_with("# ");
                text.lines()
                    .filter(is_other)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let alone = printed(&text);
            assert!(alone.contains(&text), "{text} in {alone}");
            assert_eq!(others(&alone), others(&defaults), "{}", opt.name);
        }
    }
}
