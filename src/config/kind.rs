//! Kinds of values that settings have and the standard library has not.

use std::fmt;
use std::time::Duration;

/// Something that is on or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    #[default]
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// When players that follow live are written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// At most once in this time; zero for every turn.
    Fixed(Duration),
    /// At once while there is little to do, up to every `pace_max` under load.
    #[default]
    Auto,
}

/// What happens to a publisher who asks for a name in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// The new one is refused.
    #[default]
    Refuse,
    /// The old one is closed.
    Replace,
}

/// Where workers are pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cpus {
    /// To the available cores in order.
    #[default]
    Available,
    /// Nowhere.
    Unpinned,
    /// Worker `i` to entry `i` modulo the length. Never empty; all are below 1024.
    List(Vec<usize>),
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available => write!(f, "auto"),
            Self::Unpinned => write!(f, "none"),
            Self::List(cpus) => {
                let numbers: Vec<String> = cpus.iter().map(usize::to_string).collect();
                write!(f, "{}", numbers.join(","))
            }
        }
    }
}
