//! Deadlines of a worker, soonest first: at most one for each connection and stream.
//! Each owner keeps in a field of its own, `armed`, where its deadline is found; one that is set
//! sooner or taken out is moved in the heap, so that nothing stays of it.

use std::time::Instant;

use slab::Slab;

use super::ids::{ConnId, StreamId};

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A connection, by slab key.
    Conn(ConnId),
    /// A stream, by slab key.
    Stream(StreamId),
}

/// A deadline that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimerId(usize);

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    timer: Timer,
    id: TimerId,
}

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// A binary heap: no entry is later than those at twice its index plus one and plus two.
    heap: Vec<Entry>,
    /// The index in the heap of each entry, by its id.
    places: Slab<usize>,
}

impl Timers {
    /// Sets `timer` to come up at `at`, unless it comes up sooner anyway. `armed` is its owner's.
    pub(super) fn arm(&mut self, armed: &mut Option<TimerId>, at: Instant, timer: Timer) {
        let place = match *armed {
            Some(id) => {
                let place = self.places[id.0];
                if self.heap[place].at <= at {
                    return;
                }
                self.heap[place].at = at;
                place
            }
            None => {
                let place = self.heap.len();
                let id = TimerId(self.places.insert(place));
                self.heap.push(Entry { at, timer, id });
                *armed = Some(id);
                place
            }
        };
        self.move_up(place);
    }

    /// Takes a timer out: its owner goes, or waits no longer.
    pub(super) fn disarm(&mut self, armed: &mut Option<TimerId>) {
        if let Some(id) = armed.take() {
            self.take_out(self.places[id.0]);
        }
    }

    /// When the next one comes up.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.at)
    }

    /// Takes out one that is due. Its owner is no longer armed, and makes a note of that.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        Some(self.take_out(0).timer)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// When the timer of an owner comes up.
    #[cfg(test)]
    pub(super) fn at(&self, armed: Option<TimerId>) -> Option<Instant> {
        armed.map(|id| self.heap[self.places[id.0]].at)
    }

    fn take_out(&mut self, place: usize) -> Entry {
        let entry = self.heap.swap_remove(place);
        self.places.remove(entry.id.0);
        if let Some(moved) = self.heap.get(place) {
            self.places[moved.id.0] = place;
            self.move_down(place);
            self.move_up(place);
        }
        entry
    }

    fn move_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].at <= self.heap[place].at {
                return;
            }
            self.swap(parent, place);
            place = parent;
        }
    }

    fn move_down(&mut self, mut place: usize) {
        loop {
            let children = 2 * place + 1..self.heap.len().min(2 * place + 3);
            let Some(child) = children.min_by_key(|child| self.heap[*child].at) else {
                return;
            };
            if self.heap[place].at <= self.heap[child].at {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for place in [one, other] {
            self.places[self.heap[place].id.0] = place;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "any instant will do")]

    use super::*;
    use std::time::Duration;

    fn conn(slot: u32) -> ConnId {
        ConnId::new(slot, 0)
    }

    #[test]
    fn deadlines_come_up_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        for (key, ms) in [(0, 30), (1, 10), (2, 20)] {
            timers.arm(&mut None, at(ms), Timer::Conn(conn(key)));
        }
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(20)), Some(Timer::Conn(conn(1))));
        assert_eq!(timers.pop_due(at(20)), Some(Timer::Conn(conn(2))));
        assert_eq!(timers.pop_due(at(20)), None);
    }

    #[test]
    fn an_owner_has_one_deadline_the_soonest() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        let mut armed = None;
        for ms in [30, 10, 20, 10, 5, 40] {
            timers.arm(&mut armed, at(ms), Timer::Stream(StreamId::new(7, 0)));
            assert_eq!(timers.len(), 1);
        }
        assert_eq!(timers.at(armed), Some(at(5)));
        timers.disarm(&mut armed);
        assert_eq!((armed, timers.len(), timers.next()), (None, 0, None));
    }

    #[test]
    fn deadlines_stay_in_order_however_they_are_changed() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        let mut owners = [None; 50];
        let mut due = [None; 50];
        let mut dice = 1_u64;
        for _ in 0..5_000 {
            dice = dice.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let ms = (dice >> 32) % 1_000;
            let key = u32::try_from((dice >> 48) % 50).unwrap();
            let its = conn(key);
            let key = key as usize;
            match dice >> 60 {
                0..9 => {
                    timers.arm(&mut owners[key], at(ms), Timer::Conn(its));
                    due[key] = Some(due[key].map_or(ms, |sooner: u64| sooner.min(ms)));
                }
                9..12 => {
                    timers.disarm(&mut owners[key]);
                    due[key] = None;
                }
                _ => {
                    let soonest = due.iter().flatten().min().copied();
                    let popped = timers.pop_due(at(1_000));
                    assert_eq!(popped.is_some(), soonest.is_some());
                    if let Some(Timer::Conn(its)) = popped {
                        let key = its.slot() as usize;
                        owners[key] = None;
                        assert_eq!(due[key].take(), soonest);
                    }
                }
            }
            assert_eq!(timers.len(), due.iter().flatten().count());
            assert_eq!(timers.next(), due.iter().flatten().min().map(|ms| at(*ms)));
        }
    }
}
