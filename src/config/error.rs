//! What is wrong with a setting, in the words of whoever gave it.

use std::fmt;

use crate::edge::upstream::without_user;

/// A setting that cannot be used: what was given where, and what would have been right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The option as it was given: `--pace`, or in a file `relay.conf:3: pace`.
    pub flag: String,
    /// What was given.
    pub value: Got,
    /// What would be accepted.
    pub expected: String,
}

/// What was found in place of what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// This value.
    Value(String),
    /// An option whose value is missing.
    Nothing,
    /// A value for an option that takes none.
    Surplus,
    /// An option that may stand once, again.
    Repeated,
    /// An option that does not exist.
    Unknown,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.flag)?;
        match &self.value {
            // It may be a URL that misses something else than its password.
            Got::Value(value) => write!(f, "got {:?}", without_user(value))?,
            Got::Nothing => write!(f, "got no value")?,
            Got::Surplus => write!(f, "got a value")?,
            Got::Repeated => write!(f, "got it more than once")?,
            Got::Unknown => write!(f, "unknown option")?,
        }
        write!(f, "; expected {}", self.expected)
    }
}

impl std::error::Error for ConfigError {}
