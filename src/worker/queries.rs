//! What origins have said of the queries that players bring, where `--pull` passes them on with
//! `{query}`: a query is the player's ticket, and only an origin can tell whether it is good.
//! Shared by the workers; looked at when a play begins, never on the data path.

#![expect(clippy::disallowed_types, reason = "remembered for the whole process")]

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits;

/// See the module text. Times are since the relay began.
#[derive(Debug, Default)]
pub struct Queries {
    /// Drawn when the relay starts, so that nobody outside can find the name of a probe.
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Probes that an origin has accepted, and until when that counts.
    accepted: HashMap<Arc<str>, Duration>,
    /// The queries of each stream that were accepted last, the newest first.
    newest: HashMap<Arc<str>, Vec<Box<str>>>,
}

impl Queries {
    /// What a stream is called here while an origin is asked about `query`. No stream has such a
    /// name, and nobody can read the query from it.
    pub fn probe_name(&self, name: &str, query: &str) -> Arc<str> {
        format!("{name}?{:016x}", self.hasher.hash_one((name, query))).into()
    }

    /// An origin has accepted `query` for the stream `name`.
    pub fn accept(&self, name: &Arc<str>, query: &str, now: Duration) {
        let probe = self.probe_name(name, query);
        let mut table = self.lock();
        if table.accepted.len() >= limits::QUERIES_MAX {
            table.accepted.retain(|_, until| *until > now);
        }
        if table.accepted.len() < limits::QUERIES_MAX {
            table.accepted.insert(probe, now + limits::QUERY_KEPT);
        }
        if table.newest.len() >= limits::QUERIES_MAX && !table.newest.contains_key(name) {
            table.newest.clear();
        }
        let newest = table.newest.entry(name.clone()).or_default();
        newest.retain(|known| **known != *query);
        newest.insert(0, query.into());
        newest.truncate(limits::QUERIES_TRIED);
    }

    /// Whether an origin has accepted the query of this probe of late.
    pub fn is_accepted(&self, probe: &str, now: Duration) -> bool {
        let until = self.lock().accepted.get(probe).copied();
        until.is_some_and(|until| until > now)
    }

    /// The query to try next for the stream `name`, after so many tries; None when none is known.
    pub fn next(&self, name: &str, tries: usize) -> Option<String> {
        let table = self.lock();
        let newest = table.newest.get(name)?;
        let query = newest.get(tries % newest.len().max(1))?;
        Some(query.to_string())
    }

    /// How many are remembered: accepted ones, and streams.
    #[cfg(test)]
    pub(super) fn len(&self) -> [usize; 2] {
        let table = self.lock();
        [table.accepted.len(), table.newest.len()]
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every change is complete before anything could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_query_is_accepted_for_its_stream_and_a_while() {
        let queries = Queries::default();
        let name: Arc<str> = "live/cam".into();
        queries.accept(&name, "token=1", NOW);
        let is_accepted = |name: &str, query: &str, now| {
            let probe = queries.probe_name(name, query);
            assert!(!probe.contains("token"), "{probe}");
            queries.is_accepted(&probe, now)
        };
        assert!(is_accepted("live/cam", "token=1", NOW));
        assert!(!is_accepted("live/cam", "token=2", NOW));
        assert!(!is_accepted("live/cam", "", NOW));
        assert!(!is_accepted("live/other", "token=1", NOW));
        assert!(!is_accepted(
            "live/cam",
            "token=1",
            NOW + limits::QUERY_KEPT
        ));
    }

    #[test]
    fn tries_take_the_newest_queries_in_turn() {
        let queries = Queries::default();
        let name: Arc<str> = "live/cam".into();
        assert_eq!(queries.next(&name, 0), None);
        for query in ["1", "2", "3", "2"] {
            queries.accept(&name, query, NOW);
        }
        let tried: Vec<_> = (0..4)
            .filter_map(|try_| queries.next(&name, try_))
            .collect();
        assert_eq!(tried, ["2", "3", "1", "2"]);
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let queries = Queries::default();
        for number in 0..limits::QUERIES_MAX + 100 {
            let name = format!("live/{number}").into();
            queries.accept(&name, "token=1", NOW);
        }
        assert!(queries.len().iter().all(|len| *len <= limits::QUERIES_MAX));
        for number in 0..100 {
            queries.accept(&"live/cam".into(), &number.to_string(), NOW);
        }
        let newest = queries.lock().newest["live/cam"].len();
        assert_eq!(newest, limits::QUERIES_TRIED);
    }
}
