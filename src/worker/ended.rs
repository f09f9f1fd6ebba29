//! Streams whose publishers have ended them, each for a while: a player that asks for one is told
//! soon that there is none, and does not wait as for one that is about to begin. For the whole
//! process, as a part of the registry.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::limits;

// A length of time; there is no clock here.

/// See the module text. Times are since the relay began.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Until when each counts.
    names: HashMap<Arc<str>, Duration>,
    /// The same in the order in which they were remembered, those that were forgotten included.
    order: VecDeque<(Arc<str>, Duration)>,
}

impl Ended {
    /// Remembers `name` from `now` until `until`. Of more than [`limits::ENDED_MAX`] the one
    /// that was remembered first is forgotten.
    pub(super) fn remember(&mut self, name: Arc<str>, now: Duration, until: Duration) {
        let is_over = |order: &VecDeque<(Arc<str>, Duration)>| {
            let first = order.front();
            first.is_some_and(|(_, until)| *until <= now) || order.len() >= limits::ENDED_MAX
        };
        while is_over(&self.order) {
            if let Some((name, until)) = self.order.pop_front()
                && self.names.get(&name) == Some(&until)
            {
                self.names.remove(&name);
            }
        }
        self.names.insert(name.clone(), until);
        self.order.push_back((name, until));
    }

    /// How many places are taken.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len().max(self.names.len())
    }

    /// Somebody publishes `name`.
    pub(super) fn forget(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Whether `name` is remembered at `now`.
    pub(super) fn contains(&self, name: &str, now: Duration) -> bool {
        self.names.get(name).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_stream_that_ended_is_remembered_for_its_time() {
        let mut ended = Ended::default();
        ended.remember("live/cam".into(), S(1), S(11));
        assert!(ended.contains("live/cam", S(10)));
        assert!(!ended.contains("live/cam", S(11)));
        assert!(!ended.contains("live/other", S(2)));
        ended.forget("live/cam");
        assert!(!ended.contains("live/cam", S(2)));
        ended.remember("live/cam".into(), S(3), S(13));
        ended.remember("live/other".into(), S(12), S(22));
        assert!(ended.contains("live/cam", S(12)), "the later time counts");
    }

    #[test]
    fn streams_that_ended_are_remembered_up_to_a_number() {
        let mut ended = Ended::default();
        for number in 0..2 * limits::ENDED_MAX {
            let name = format!("live/{number}");
            ended.remember(name.as_str().into(), S(1), S(2));
            ended.forget("live/3");
        }
        assert!(ended.names.len() <= limits::ENDED_MAX);
        assert_eq!(ended.order.len(), limits::ENDED_MAX);
        ended.remember("live/cam".into(), S(2), S(3));
        assert_eq!((ended.names.len(), ended.order.len()), (1, 1));
    }
}
