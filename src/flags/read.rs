//! From strings to the configuration.
//!
//! Not here: how a value of one kind is read (`value`), and what settings ask of each other
//! (`config`).

use super::value::Values;
use super::{OPTIONS, Opt, Raw};
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
        let mut config = Config::blank();
        let field = |opt: &'static Opt| Some((opt, opt.field?));
        let mut rows: Vec<_> = OPTIONS.iter().filter_map(field).collect();
        // By name, so that which of several errors is told does not depend on the help.
        rows.sort_unstable_by_key(|(opt, _)| opt.name);
        for (opt, field) in rows {
            (field.set)(&mut config, &Values::new(self, opt))?;
        }
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

#[cfg(test)]
mod tests;
