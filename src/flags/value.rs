//! From a string to a value, for each kind of option: amounts and times, words, addresses, lists
//! of cores, apps, log filters.
//!
//! What is refused is refused with the range of the option's row. Not here: which option has which
//! kind (`kind`, `table`), and what one option asks of another (`config`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{Accepts, Given, Opt, Raw};
use crate::config::listen::{ListenAddr, Proxies};
use crate::config::unit::Unit;
use crate::config::{ConfigError, Cpus, Got, Pace, Switch, Takeover};
use crate::edge::redirect::AllowedHost;
use crate::edge::rule::Rule;
use crate::edge::upstream::Upstream;
use crate::rtmp::name::app_from_connect;

/// The values of one option, which its kind reads. Reading an amount of an option that has none in
/// the table panics.
pub(super) struct Values<'a> {
    raw: &'a Raw,
    opt: &'a Opt,
}

impl<'a> Values<'a> {
    /// The values that were given for `opt`, or its default.
    pub(super) fn new(raw: &'a Raw, opt: &'a Opt) -> Self {
        Self { raw, opt }
    }

    /// Whether the option was given.
    pub(super) fn is_given(&self) -> bool {
        self.raw.is_given(self.opt.name)
    }

    /// All of them.
    fn all(&self) -> Vec<Given> {
        self.raw.values(self.opt)
    }

    /// All of them; none when the only one is this word.
    fn all_unless(&self, word: &str) -> Vec<Given> {
        let mut values = self.all();
        if let [only] = values.as_slice()
            && only.value == word
        {
            values.clear();
        }
        values
    }

    /// The one of an option that is given once.
    fn one(&self) -> Given {
        self.all().pop().expect("a setting has a default")
    }

    /// The error for one that the option does not take.
    fn refused(&self, given: Given) -> ConfigError {
        refused(given, self.opt.range())
    }

    /// An amount in bytes, milliseconds or things.
    fn amount(&self) -> Result<u64, ConfigError> {
        let given = self.one();
        let Accepts::Amount { unit, min, max, .. } = self.opt.accepts else {
            unreachable!("{} is an amount in the table", self.opt.name);
        };
        let range = min * unit.scale()..=max * unit.scale();
        let amount = unit
            .parse(&given.value)
            .filter(|amount| range.contains(amount));
        amount.ok_or_else(|| self.refused(given))
    }

    /// A count or size, in a type the range of the option fits into.
    pub(super) fn number<T: TryFrom<u64>>(&self) -> Result<T, ConfigError> {
        let amount = T::try_from(self.amount()?);
        // Only where `usize` has fewer bits than the table counts on.
        amount.map_err(|_| refused(self.one(), "less on this machine".to_owned()))
    }

    pub(super) fn time(&self) -> Result<Duration, ConfigError> {
        self.amount().map(Duration::from_millis)
    }

    pub(super) fn pace(&self) -> Result<Pace, ConfigError> {
        if self.one().value == "auto" {
            return Ok(Pace::Auto);
        }
        self.time().map(Pace::Fixed)
    }

    pub(super) fn switch(&self) -> Result<Switch, ConfigError> {
        let given = self.one();
        match given.value.as_str() {
            "on" | "true" => Ok(Switch::On),
            "off" | "false" => Ok(Switch::Off),
            _ => Err(self.refused(given)),
        }
    }

    pub(super) fn takeover(&self) -> Result<Takeover, ConfigError> {
        let given = self.one();
        match given.value.as_str() {
            "refuse" => Ok(Takeover::Refuse),
            "replace" => Ok(Takeover::Replace),
            _ => Err(self.refused(given)),
        }
    }

    pub(super) fn cpus(&self) -> Result<Cpus, ConfigError> {
        let given = self.one();
        match given.value.as_str() {
            "auto" => Ok(Cpus::Available),
            "none" => Ok(Cpus::Unpinned),
            list => match cpu_list(list) {
                Some(cpus) => Ok(Cpus::List(cpus)),
                None => Err(self.refused(given)),
            },
        }
    }

    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, ConfigError> {
        let values = self.all();
        let mut addresses = Vec::new();
        for given in values {
            match address(&given.value) {
                // With SO_REUSEPORT the kernel would not object to a second one.
                Some(address) if address.port() == 0 || !addresses.contains(&address) => {
                    addresses.push(address);
                }
                _ => return Err(self.refused(given)),
            }
        }
        Ok(addresses)
    }

    /// Addresses where a port alone is on loopback.
    pub(super) fn admin(&self) -> Result<Vec<SocketAddr>, ConfigError> {
        let mut addresses = self.addresses()?;
        let values = self.all();
        for (address, given) in addresses.iter_mut().zip(values) {
            if !given.value.contains('.') && !given.value.contains('[') {
                address.set_ip(Ipv4Addr::LOCALHOST.into());
            }
        }
        Ok(addresses)
    }

    pub(super) fn origins(&self) -> Result<Vec<String>, ConfigError> {
        let values = self.all();
        let is_only = values.len() == 1;
        let origin = |given: Given| {
            let host = given.value.split_once("://").map(|(_, host)| host);
            let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
                && given.value.bytes().all(|byte| byte.is_ascii_graphic());
            if is_origin || given.value == "*" && is_only {
                Ok(given.value)
            } else {
                Err(self.refused(given))
            }
        };
        values.into_iter().map(origin).collect()
    }

    /// Names of hosts, without ports.
    pub(super) fn hosts(&self) -> Result<Vec<String>, ConfigError> {
        let values = self.all();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let host = |given: Given| match given.value.as_str() {
            host if !host.is_empty() && host.bytes().all(is_part) => Ok(given.value),
            _ => Err(self.refused(given)),
        };
        values.into_iter().map(host).collect()
    }

    pub(super) fn path(&self) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self
            .paths()?
            .pop()
            .filter(|path| path.as_os_str() != "none"))
    }

    /// Addresses, unix sockets, or `none` alone.
    pub(super) fn listen(&self) -> Result<Vec<ListenAddr>, ConfigError> {
        let values = self.all_unless("none");
        let mut all = Vec::new();
        for given in values {
            let wanted = match given.value.strip_prefix("unix:") {
                Some("") => None,
                Some(path) => Some(ListenAddr::Unix(path.into())),
                None => address(&given.value).map(ListenAddr::Tcp),
            };
            match wanted {
                // With SO_REUSEPORT the kernel would not object to a second one.
                Some(ListenAddr::Tcp(address)) if address.port() == 0 => {
                    all.push(ListenAddr::Tcp(address));
                }
                Some(wanted) if !all.contains(&wanted) => all.push(wanted),
                _ => return Err(self.refused(given)),
            }
        }
        Ok(all)
    }

    /// Networks and words, separated by commas.
    pub(super) fn proxies(&self) -> Result<Vec<Proxies>, ConfigError> {
        let values = self.all();
        let mut all = Vec::new();
        for given in values {
            let parsed: Option<Vec<Proxies>> = given.value.split(',').map(Proxies::parse).collect();
            match parsed {
                Some(proxies) => all.extend(proxies),
                None => return Err(self.refused(given)),
            }
        }
        Ok(all)
    }

    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let values = self.all();
        let path = |given: Given| match given.value.as_str() {
            "" => Err(self.refused(given)),
            path => Ok(PathBuf::from(path)),
        };
        values.into_iter().map(path).collect()
    }

    pub(super) fn apps(&self) -> Result<Vec<String>, ConfigError> {
        let values = self.all_unless("*");
        let mut apps = Vec::new();
        for given in values {
            if !is_app(&given.value) {
                return Err(self.refused(given));
            }
            if !apps.contains(&given.value) {
                apps.push(given.value);
            }
        }
        Ok(apps)
    }

    /// Rules for other servers, each of which `suits` its option.
    pub(super) fn rules(&self, suits: fn(&Rule) -> bool) -> Result<Vec<Rule>, ConfigError> {
        let values = self.all_unless("none");
        let mut rules: Vec<Rule> = Vec::new();
        for given in values {
            match Rule::parse(&given.value) {
                Some(rule) if !rules.contains(&rule) && suits(&rule) => rules.push(rule),
                _ => return Err(self.refused(given)),
            }
        }
        Ok(rules)
    }

    /// Hosts that redirects may lead to.
    pub(super) fn allowed_hosts(&self) -> Result<Vec<AllowedHost>, ConfigError> {
        let values = self.all_unless("none");
        let mut all = Vec::new();
        for given in values {
            match AllowedHost::parse(&given.value) {
                Some(host) if given.value != "none" && !all.contains(&host) => all.push(host),
                _ => return Err(self.refused(given)),
            }
        }
        Ok(all)
    }

    /// A URL of this protocol, or `same` for none.
    pub(super) fn url(&self) -> Result<Option<String>, ConfigError> {
        let given = self.one();
        if given.value == "same" {
            return Ok(None);
        }
        match Upstream::parse(&given.value) {
            // It is told to clients.
            Some(url) if !url.has_user => Ok(Some(given.value)),
            _ => Err(self.refused(given)),
        }
    }

    pub(super) fn log(&self) -> Result<Option<String>, ConfigError> {
        let given = self.one();
        if !is_filter(&given.value) {
            return Err(self.refused(given));
        }
        Ok(self.is_given().then_some(given.value))
    }
}

/// The error for a value out of what is expected.
fn refused(given: Given, expected: String) -> ConfigError {
    ConfigError {
        flag: given.flag,
        value: Got::Value(given.value),
        expected,
    }
}

/// `A:P`, `[V6]:P`, `:P` or `P`.
fn address(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some((Ipv4Addr::UNSPECIFIED, port.parse().ok()?).into());
    }
    text.parse().ok()
}

/// Numbers and ranges separated by commas, none twice.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    /// As many as the kernel's set of cores for a thread has (`CPU_SETSIZE`).
    const CPUS_MAX: u64 = 1024;
    let number = |text| Unit::Count.parse(text).filter(|cpu| *cpu < CPUS_MAX);
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        for cpu in first..=last {
            let cpu = usize::try_from(cpu).ok()?;
            if cpus.contains(&cpu) {
                return None;
            }
            cpus.push(cpu);
        }
    }
    Some(cpus)
}

/// Whether clients can ask for this app: it must be as `rtmp::name` leaves it, or it would match
/// none of them (`live/_definst_` arrives as `live`). `*` is not among them, since it says all.
fn is_app(name: &str) -> bool {
    let app = app_from_connect(Some(name.as_bytes()), None);
    name != "*" && !name.is_empty() && app.is_ok_and(|app| app.app == name)
}

/// Levels and `target=level`, separated by commas. `env_logger` takes more: a bare word that is
/// not a level counts as a target there, so that `inf` would silence everything.
fn is_filter(text: &str) -> bool {
    let is_level = |text: &str| text.parse::<log::LevelFilter>().is_ok();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    let is_target = |text: &str| !text.is_empty() && text.chars().all(is_plain);
    text.split(',').all(|part| match part.split_once('=') {
        Some((target, level)) => is_target(target) && is_level(level),
        None => is_level(part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_the_host() {
        for (text, expected) in [
            ("127.0.0.1:1935", "127.0.0.1:1935"),
            ("1935", "0.0.0.0:1935"),
            (":1935", "0.0.0.0:1935"),
            ("0", "0.0.0.0:0"),
            (":0", "0.0.0.0:0"),
            ("65535", "0.0.0.0:65535"),
            ("[::]:1935", "[::]:1935"),
            ("[2001:db8::1]:0", "[2001:db8::1]:0"),
        ] {
            assert_eq!(address(text), Some(expected.parse().unwrap()), "{text:?}");
        }
        for text in [
            "", ":", "::", ":::1", "::1:1935", "host:1", "1.2.3.4", "65536", "1 ", " 1",
        ] {
            assert_eq!(address(text), None, "{text:?}");
        }
    }

    #[test]
    fn core_lists_keep_their_order() {
        assert_eq!(cpu_list("0"), Some(vec![0]));
        assert_eq!(cpu_list("4,0-2"), Some(vec![4, 0, 1, 2]));
        assert_eq!(cpu_list("7-7"), Some(vec![7]));
        assert_eq!(cpu_list("0-1023").map(|cpus| cpus.len()), Some(1024));
        for text in [
            "", "-", "1-", "-1", "2-1", "1-2-3", "0,0", "1024", "0-1024", "0;1", "0, 1",
        ] {
            assert_eq!(cpu_list(text), None, "{text:?}");
        }
    }

    #[test]
    fn apps_are_names_that_clients_can_ask_for() {
        for name in [
            "live",
            "a",
            "a.b",
            "my-app_2",
            "studio/one",
            "café",
            "a b",
            "a=b",
        ] {
            assert!(is_app(name), "{name:?}");
        }
        assert!(is_app(&"a".repeat(256)));
        assert!(!is_app(&"a".repeat(257)));
        for name in [
            "", "*", "/", "a/", "/a", "a//b", ".", "..", "a/..", ".a", " a", "a\n", "a#",
        ] {
            assert!(!is_app(name), "{name:?}");
        }
        for name in ["live/_definst_", "live?key=1", "a\u{202E}b"] {
            assert!(!is_app(name), "{name:?}");
        }
    }

    #[test]
    fn filters_are_levels_and_targets_with_levels() {
        for text in [
            "off",
            "error",
            "WARN",
            "info,tailwater::edge=debug",
            "a=trace",
            "a-b_c=off",
        ] {
            assert!(is_filter(text), "{text:?}");
        }
        for text in [
            "",
            ",",
            "inf",
            "tailwater",
            "a=",
            "=info",
            "a b=info",
            "info #",
            "info/a",
        ] {
            assert!(!is_filter(text), "{text:?}");
        }
    }
}
