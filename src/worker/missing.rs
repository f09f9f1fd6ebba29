//! Streams that an origin has just said it does not have, so that a player that asks again and
//! again does not make us ask again and again. Shared by the workers; looked at when a pull
//! begins, never on the data path.

#![expect(clippy::disallowed_types, reason = "remembered for the whole process")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::limits;

/// See the module text. Times are since the relay began.
#[derive(Debug, Default)]
pub struct Missing {
    table: Mutex<HashMap<(Arc<str>, usize), Duration>>,
}

impl Missing {
    /// Server number `server` of its rule does not have the stream `name`.
    pub fn remember(&self, name: Arc<str>, server: usize, now: Duration) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= limits::MISSING_MAX {
            table.retain(|_, until| *until > now);
        }
        if table.len() >= limits::MISSING_MAX {
            table.clear();
        }
        table.insert((name, server), now + limits::MISSING_KEPT);
    }

    /// Whether that is still known.
    pub fn has(&self, name: &Arc<str>, server: usize, now: Duration) -> bool {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.clone(), server);
        match table.get(&key) {
            Some(until) if *until > now => true,
            Some(_) => {
                table.remove(&key);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_lacks_is_known_for_a_moment_and_of_that_server_alone() {
        let missing = Missing::default();
        let name: Arc<str> = "live/cam".into();
        let at = Duration::from_millis;
        missing.remember(name.clone(), 1, at(1_000));
        assert!(missing.has(&name, 1, at(1_000)));
        assert!(missing.has(&name, 1, at(2_999)));
        assert!(!missing.has(&name, 0, at(1_000)));
        assert!(!missing.has(&"live/other".into(), 1, at(1_000)));
        assert!(!missing.has(&name, 1, at(3_000)));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let missing = Missing::default();
        for number in 0..2 * limits::MISSING_MAX {
            let name = format!("live/{number}");
            missing.remember(name.as_str().into(), 0, Duration::ZERO);
        }
        let table = missing.table.lock().unwrap();
        assert!(table.len() <= limits::MISSING_MAX);
    }
}
