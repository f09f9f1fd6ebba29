//! Streams that an origin has just said it does not have, so that a player that asks again and
//! again does not make us ask again and again: each time it is longer until the origin is asked
//! anew. Shared by the workers; looked at when a pull begins, never on the data path.
//!
//! That others have asked in vain is no reason to keep a stream from a player that comes when it
//! is there: players of an address that has not asked yet have the origin asked at once.

#![expect(clippy::disallowed_types, reason = "remembered for the whole process")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;

use super::address::Key;
use super::ids::OriginId;
use crate::limits;

/// See the module text. Times are since the relay began.
#[derive(Debug, Default)]
pub struct Missing {
    table: Mutex<HashMap<(Arc<str>, OriginId), Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// When it was asked, ...
    asked: Duration,
    /// ... and how long it is not to be asked again.
    kept: Duration,
    /// Addresses for whose players it was asked meanwhile.
    askers: SmallVec<[Key; 1]>,
}

impl Missing {
    /// Server number `server` of its rule does not have the stream `name`, which a player of
    /// `asker` had it asked for.
    pub(super) fn remember(
        &self,
        name: Arc<str>,
        server: OriginId,
        asker: Option<Key>,
        now: Duration,
    ) {
        let mut table = self.lock();
        if table.len() >= limits::MISSING_MAX {
            table.retain(|_, entry| !entry.is_stale(now));
        }
        if table.len() >= limits::MISSING_MAX {
            table.clear();
        }
        let before = table.remove(&(name.clone(), server));
        let before = before.filter(|entry| !entry.is_stale(now));
        let mut entry = before.unwrap_or(Entry {
            asked: now,
            kept: Duration::ZERO,
            askers: SmallVec::new(),
        });
        if entry.asked + entry.kept <= now {
            let kept = 2 * entry.kept;
            entry.kept = kept.clamp(limits::MISSING_KEPT, limits::MISSING_KEPT_MAX);
            entry.asked = now;
            entry.askers.clear();
        }
        match asker {
            Some(asker) if entry.may_be_asked_by(asker) => entry.askers.push(asker),
            Some(_) => {}
            None => entry.asked = now,
        }
        table.insert((name, server), entry);
    }

    /// The server has the stream after all.
    pub fn forget(&self, name: &Arc<str>, server: OriginId) {
        self.lock().remove(&(name.clone(), server));
    }

    /// How long the server is not to be asked again; None when it may be. For players of an
    /// address that has not asked meanwhile it may, if there is room for them. Where addresses are
    /// not counted, it is the shortest time for everybody.
    pub(super) fn wait(
        &self,
        name: &Arc<str>,
        server: OriginId,
        asker: Option<Key>,
        now: Duration,
    ) -> Option<Duration> {
        let table = self.lock();
        let entry = table.get(&(name.clone(), server))?;
        let kept = match asker {
            Some(asker) if entry.may_be_asked_by(asker) => return None,
            Some(_) => entry.kept,
            None => limits::MISSING_KEPT,
        };
        let left = (entry.asked + kept).checked_sub(now);
        left.filter(|left| !left.is_zero())
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Arc<str>, OriginId), Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether it is so long ago that the next time counts as the first.
    fn is_stale(&self, now: Duration) -> bool {
        self.asked + self.kept + limits::MISSING_KEPT_MAX <= now
    }

    /// Whether players of an address may have it asked for before its time.
    fn may_be_asked_by(&self, asker: Key) -> bool {
        self.askers.len() < limits::MISSING_ASKERS_MAX && !self.askers.contains(&asker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: usize) -> OriginId {
        OriginId::new(number)
    }

    fn address(number: usize) -> Option<Key> {
        Some(Key::of([127, 0, 0, u8::try_from(number).unwrap()].into()))
    }

    #[test]
    fn what_a_server_lacks_is_known_of_that_server_alone() {
        let missing = Missing::default();
        let name: Arc<str> = "live/cam".into();
        let at = Duration::from_millis;
        missing.remember(name.clone(), origin(1), None, at(1_000));
        assert_eq!(
            missing.wait(&name, origin(1), None, at(1_000)),
            Some(at(2_000))
        );
        assert_eq!(missing.wait(&name, origin(1), None, at(2_999)), Some(at(1)));
        assert_eq!(missing.wait(&name, origin(0), None, at(1_000)), None);
        assert_eq!(
            missing.wait(&"live/other".into(), origin(1), None, at(1_000)),
            None
        );
        assert_eq!(missing.wait(&name, origin(1), None, at(3_000)), None);
        missing.remember(name.clone(), origin(1), None, at(3_000));
        missing.forget(&name, origin(1));
        assert_eq!(missing.wait(&name, origin(1), None, at(3_000)), None);
    }

    #[test]
    fn each_time_it_is_known_for_longer_up_to_the_most() {
        let missing = Missing::default();
        let name: Arc<str> = "live/cam".into();
        let mut now = Duration::from_secs(9);
        let mut waits = Vec::new();
        for _ in 0..6 {
            missing.remember(name.clone(), origin(0), address(1), now);
            let wait = missing.wait(&name, origin(0), address(1), now).unwrap();
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 32]);
        now += limits::MISSING_KEPT_MAX;
        missing.remember(name.clone(), origin(0), address(1), now);
        assert_eq!(
            missing.wait(&name, origin(0), address(1), now),
            Some(limits::MISSING_KEPT)
        );
    }

    #[test]
    fn players_of_another_address_have_it_asked_for_once() {
        let missing = Missing::default();
        let name: Arc<str> = "live/cam".into();
        let now = Duration::from_secs(9);
        for number in 0..limits::MISSING_ASKERS_MAX {
            assert_eq!(missing.wait(&name, origin(0), address(number), now), None);
            missing.remember(name.clone(), origin(0), address(number), now);
            assert!(
                missing
                    .wait(&name, origin(0), address(number), now)
                    .is_some()
            );
        }
        let late = address(limits::MISSING_ASKERS_MAX);
        assert_eq!(
            missing.wait(&name, origin(0), late, now),
            Some(limits::MISSING_KEPT)
        );
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let missing = Missing::default();
        for number in 0..2 * limits::MISSING_MAX {
            let name = format!("live/{number}");
            missing.remember(name.as_str().into(), origin(0), None, Duration::ZERO);
        }
        assert!(missing.len() <= limits::MISSING_MAX);
    }
}
