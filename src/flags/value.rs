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

    /// The one of an option that is given once, as `parse` reads it.
    fn read<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        let given = self.one();
        parse(&given.value).ok_or_else(|| self.refused(given))
    }

    /// Each of `values` as `parse` reads it, which sees those before it.
    fn read_each<T>(
        &self,
        values: Vec<Given>,
        parse: impl Fn(&str, &[T]) -> Option<T>,
    ) -> Result<Vec<T>, ConfigError> {
        let mut all = Vec::new();
        for given in values {
            let read = parse(&given.value, &all);
            all.push(read.ok_or_else(|| self.refused(given))?);
        }
        Ok(all)
    }

    /// An amount in bytes, milliseconds or things.
    fn amount(&self) -> Result<u64, ConfigError> {
        let Accepts::Amount { unit, min, max, .. } = self.opt.accepts else {
            unreachable!("{} is an amount in the table", self.opt.name);
        };
        let range = min * unit.scale()..=max * unit.scale();
        self.read(|value| unit.parse(value).filter(|amount| range.contains(amount)))
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
        self.read(|value| match value {
            "on" | "true" => Some(Switch::On),
            "off" | "false" => Some(Switch::Off),
            _ => None,
        })
    }

    pub(super) fn takeover(&self) -> Result<Takeover, ConfigError> {
        self.read(|value| match value {
            "refuse" => Some(Takeover::Refuse),
            "replace" => Some(Takeover::Replace),
            _ => None,
        })
    }

    pub(super) fn cpus(&self) -> Result<Cpus, ConfigError> {
        self.read(|value| match value {
            "auto" => Some(Cpus::Available),
            "none" => Some(Cpus::Unpinned),
            list => cpu_list(list).map(Cpus::List),
        })
    }

    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, ConfigError> {
        // With SO_REUSEPORT the kernel would not object to a second one.
        self.read_each(self.all(), |value, all| {
            address(value).filter(|address| address.port() == 0 || !all.contains(address))
        })
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
        self.read_each(values, |value, _| {
            let host = value.split_once("://").map(|(_, host)| host);
            let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
                && value.bytes().all(|byte| byte.is_ascii_graphic());
            (is_origin || value == "*" && is_only).then(|| value.to_owned())
        })
    }

    /// Names of hosts, without ports.
    pub(super) fn hosts(&self) -> Result<Vec<String>, ConfigError> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        self.read_each(self.all(), |value, _| {
            (!value.is_empty() && value.bytes().all(is_part)).then(|| value.to_owned())
        })
    }

    pub(super) fn path(&self) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self
            .paths()?
            .pop()
            .filter(|path| path.as_os_str() != "none"))
    }

    /// Addresses, unix sockets, or `none` alone.
    pub(super) fn listen(&self) -> Result<Vec<ListenAddr>, ConfigError> {
        self.read_each(self.all_unless("none"), |value, all| {
            let wanted = match value.strip_prefix("unix:") {
                Some("") => None,
                Some(path) => Some(ListenAddr::Unix(path.into())),
                None => address(value).map(ListenAddr::Tcp),
            };
            // With SO_REUSEPORT the kernel would not object to a second one.
            let is_any = |its: &ListenAddr| matches!(its, ListenAddr::Tcp(at) if at.port() == 0);
            wanted.filter(|wanted| is_any(wanted) || !all.contains(wanted))
        })
    }

    /// Networks and words, separated by commas.
    pub(super) fn proxies(&self) -> Result<Vec<Proxies>, ConfigError> {
        let lists = self.read_each(self.all(), |value, _| {
            value.split(',').map(Proxies::parse).collect()
        });
        lists.map(|lists: Vec<Vec<Proxies>>| lists.into_iter().flatten().collect())
    }

    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, ConfigError> {
        self.read_each(self.all(), |value, _| {
            (!value.is_empty()).then(|| value.into())
        })
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
        self.read_each(self.all_unless("none"), |value, rules| {
            Rule::parse(value).filter(|rule| !rules.contains(rule) && suits(rule))
        })
    }

    /// Hosts that redirects may lead to.
    pub(super) fn allowed_hosts(&self) -> Result<Vec<AllowedHost>, ConfigError> {
        self.read_each(self.all_unless("none"), |value, all| {
            AllowedHost::parse(value).filter(|host| value != "none" && !all.contains(host))
        })
    }

    /// A URL of this protocol, or `same` for none.
    pub(super) fn url(&self) -> Result<Option<String>, ConfigError> {
        self.read(|value| {
            if value == "same" {
                return Some(None);
            }
            // It is told to clients.
            let url = Upstream::parse(value).filter(|url| !url.has_user);
            url.map(|_| Some(value.to_owned()))
        })
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
