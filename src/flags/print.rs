//! The settings in effect as text: what --print-config prints, and a `--config` file.

use super::{Opt, settings};
use crate::config::Config;

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
        let shown = self.field.map(|field| (field.show_public)(config, self));
        shown.unwrap_or_default()
    }

    /// The values of this option as they would be given.
    fn shown(&self, config: &Config) -> Vec<String> {
        let shown = self.field.map(|field| (field.show)(config, self));
        shown.unwrap_or_default()
    }
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
