//! Kinds of values: how they are read into a field of the configuration and printed of it.
//!
//! What a kind prints, it reads back as the same. Not here: which option is of which kind
//! (`table`).

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::value::Values;
use super::{Accepts, Opt};
use crate::config::listen::{ListenAddr, Proxies};
use crate::config::{Config, ConfigError, Cpus, Pace, Switch, Takeover};
use crate::edge::redirect::AllowedHost;
use crate::edge::rule::{self, Rule};
use crate::edge::upstream::Upstream;

/// The field of the configuration that an option sets; made by `field!`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Its name.
    #[cfg(test)]
    pub(super) name: &'static str,
    /// Reads the values of the option into the field.
    pub(super) set: fn(&mut Config, &Values<'_>) -> Result<(), ConfigError>,
    /// The values as they would be given.
    pub(super) show: fn(&Config, &Opt) -> Vec<String>,
    /// The values without what may be a key.
    pub(super) show_public: fn(&Config, &Opt) -> Vec<String>,
}

/// `field!(grace, TIME)`: what a row says to set the field `grace` to values of the kind `TIME`.
macro_rules! field {
    ($field:ident, $kind:expr) => {
        Some($crate::flags::kind::Field {
            #[cfg(test)]
            name: stringify!($field),
            set: |config, values| {
                config.$field = ($kind.read)(values)?;
                Ok(())
            },
            show: |config, opt| ($kind.show)(&config.$field, opt),
            show_public: |config, opt| ($kind.show_public)(&config.$field, opt),
        })
    };
}
pub(super) use field;

/// How strings become a value of type `T`, and it becomes strings.
pub(super) struct Kind<T> {
    /// Reads the values of an option.
    pub(super) read: fn(&Values<'_>) -> Result<T, ConfigError>,
    /// The values as they would be given.
    pub(super) show: fn(&T, &Opt) -> Vec<String>,
    /// The values without what may be a key.
    pub(super) show_public: fn(&T, &Opt) -> Vec<String>,
}

impl<T> Kind<T> {
    /// One whose values anybody may see.
    const fn new(
        read: fn(&Values<'_>) -> Result<T, ConfigError>,
        show: fn(&T, &Opt) -> Vec<String>,
    ) -> Self {
        Self {
            read,
            show,
            show_public: show,
        }
    }
}

/// Given or not: a switch of the command line, which is never printed.
pub(super) const GIVEN: Kind<bool> = Kind::new(|values| Ok(values.is_given()), |_, _| Vec::new());

/// The name of the configuration file, which is never printed.
pub(super) const CONFIG_FILE: Kind<Option<PathBuf>> =
    Kind::new(|values| Ok(values.paths()?.pop()), |_, _| Vec::new());

/// A count or size, in a type that the range of the option fits into.
pub(super) const fn number<T: TryFrom<u64> + TryInto<u64> + Copy>() -> Kind<T> {
    Kind::new(
        |values| values.number(),
        |number, opt| amount((*number).try_into().unwrap_or(u64::MAX), opt),
    )
}

/// A count or size, or 0 for none.
pub(super) const fn number_or_none<T>() -> Kind<Option<T>>
where
    T: TryFrom<u64> + TryInto<u64> + Copy + Default + PartialEq,
{
    Kind::new(
        |values| Ok(Some(values.number()?).filter(|number| *number != T::default())),
        |value, opt| (number().show)(&value.unwrap_or_default(), opt),
    )
}

pub(super) const TIME: Kind<Duration> = Kind::new(|values| values.time(), time);

/// A time, or 0 for none.
pub(super) const TIME_OR_NONE: Kind<Option<Duration>> = Kind::new(
    |values| Ok(Some(values.time()?).filter(|time| !time.is_zero())),
    |value, opt| time(&value.unwrap_or_default(), opt),
);

pub(super) const PACE: Kind<Pace> = Kind::new(
    |values| values.pace(),
    |pace, opt| match pace {
        Pace::Auto => word("auto"),
        Pace::Fixed(interval) => time(interval, opt),
    },
);

pub(super) const SWITCH: Kind<Switch> = Kind::new(
    |values| values.switch(),
    |switch, _| word(if switch.is_on() { "on" } else { "off" }),
);

pub(super) const TAKEOVER: Kind<Takeover> = Kind::new(
    |values| values.takeover(),
    |takeover, _| {
        word(match takeover {
            Takeover::Refuse => "refuse",
            Takeover::Replace => "replace",
        })
    },
);

pub(super) const CPUS: Kind<Cpus> =
    Kind::new(|values| values.cpus(), |cpus, _| vec![cpus.to_string()]);

/// `*` is all apps, which is an empty list.
pub(super) const APPS: Kind<Vec<String>> =
    Kind::new(|values| values.apps(), |apps, _| list_or("*", apps));

pub(super) const ORIGINS: Kind<Vec<String>> =
    Kind::new(|values| values.origins(), |list, _| list.clone());

/// Names of hosts, without ports.
pub(super) const HOSTS: Kind<Vec<String>> =
    Kind::new(|values| values.hosts(), |list, _| list.clone());

pub(super) const ADDRESSES: Kind<Vec<SocketAddr>> =
    Kind::new(|values| values.addresses(), |addresses, _| list(addresses));

/// Addresses where a port alone is on loopback.
pub(super) const ADMIN: Kind<Vec<SocketAddr>> =
    Kind::new(|values| values.admin(), |addresses, _| list(addresses));

/// Addresses and unix sockets; `none` is an empty list.
pub(super) const LISTEN: Kind<Vec<ListenAddr>> = Kind::new(
    |values| values.listen(),
    |listen, _| list_or("none", listen),
);

pub(super) const PROXIES: Kind<Vec<Proxies>> =
    Kind::new(|values| values.proxies(), |proxies, _| list(proxies));

pub(super) const FILES: Kind<Vec<PathBuf>> = Kind::new(
    |values| values.paths(),
    |paths, _| list(paths.iter().map(|path| path.display())),
);

/// A file, or `none`.
pub(super) const FILE_OR_NONE: Kind<Option<PathBuf>> = Kind::new(
    |values| values.path(),
    |path, _| list_or("none", path.iter().map(|path| path.display())),
);

/// Rules none of whose servers gets all streams under one name.
pub(super) const PULL_RULES: Kind<Vec<Rule>> =
    rules(|values| values.rules(|rule| !rule.servers.iter().any(Upstream::is_fixed)));

/// Rules with one server each.
pub(super) const PUSH_RULES: Kind<Vec<Rule>> =
    rules(|values| values.rules(|rule| rule.servers.len() == 1));

/// Rules are shown to everybody by their labels.
const fn rules(read: fn(&Values<'_>) -> Result<Vec<Rule>, ConfigError>) -> Kind<Vec<Rule>> {
    Kind {
        read,
        show: |rules, _| list_or("none", rules),
        show_public: |rules, _| rule::labels(rules),
    }
}

pub(super) const ALLOWED_HOSTS: Kind<Vec<AllowedHost>> = Kind::new(
    |values| values.allowed_hosts(),
    |hosts, _| list_or("none", hosts),
);

/// A URL, which may have a query with a key, or `same`.
pub(super) const URL_OR_SAME: Kind<Option<String>> = Kind {
    read: |values| values.url(),
    show: |url, _| list_or("same", url),
    show_public: |url, _| word(if url.is_some() { "set" } else { "same" }),
};

/// A filter; none when it was not given, whatever the default.
pub(super) const LOG: Kind<Option<String>> = Kind::new(|values| values.log(), |log, _| list(log));

/// An amount in the unit of the option.
fn amount(amount: u64, opt: &Opt) -> Vec<String> {
    match opt.accepts {
        Accepts::Amount { unit, .. } => vec![unit.show(amount)],
        Accepts::Nothing | Accepts::Words(_) | Accepts::Text(_) => vec![amount.to_string()],
    }
}

fn time(time: &Duration, opt: &Opt) -> Vec<String> {
    amount(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), opt)
}

fn word(word: &str) -> Vec<String> {
    vec![word.to_owned()]
}

fn list(values: impl IntoIterator<Item = impl Display>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

/// What there is of a list, or the word for an empty one.
fn list_or(empty: &str, values: impl IntoIterator<Item = impl Display>) -> Vec<String> {
    let shown = list(values);
    if shown.is_empty() { word(empty) } else { shown }
}
