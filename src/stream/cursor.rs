//! Where one player stands in a log. A cursor is all a player costs: no queue, no copy.
//!
//! ```text
//!            sync point found                    too far behind, or trimmed away
//!   Await ---------------------> Live ------------------------------------------+
//!     ^                           |  ^                                          |
//!     | resume                    |  +--- newest sync point, headers first -----+
//!     |                     pause |
//!     +-------- Paused <----------+
//! ```
//!
//! A cursor is always at a message boundary; a message cut by a full socket is finished from
//! the connection's own half-sent pieces before the cursor is asked again.

use super::log::{StreamLog, SyncPoint};
use crate::rtmp::message::Timestamp;

/// See the module text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    offset: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for a sync point at or after `offset`.
    Await,
    /// Reads on from `offset`.
    Live,
    Paused,
}

/// What a cursor can do now.
#[derive(Clone, Debug)]
pub enum Place {
    /// Nothing: paused, or no sync point yet.
    Wait,
    /// Read on from the offset.
    Follow(u64),
    /// Read from this sync point; its headers go first. `skipped` bytes were left out.
    Start {
        /// Where to go on.
        sync: SyncPoint,
        /// Bytes of the log that this player will never see; 0 for one that has just come.
        skipped: u64,
    },
}

/// Where a new player may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the newest sync point there is: a picture at once, the age of the group behind live.
    NewestSync,
    /// At the next sync point to come: no delay behind live, a wait for the picture.
    NextSync,
}

impl Cursor {
    /// A cursor for a player that joins `log`.
    pub fn new(log: &StreamLog, start: StartAt) -> Self {
        let offset = match start {
            StartAt::NewestSync => 0,
            StartAt::NextSync => log.end(),
        };
        Self {
            offset,
            state: State::Await,
        }
    }

    /// The cursor of a player that reads on from `offset`, a message boundary.
    pub fn at(offset: u64) -> Self {
        Self {
            offset,
            state: State::Live,
        }
    }

    /// First byte of the log this cursor still needs; None when it needs none.
    pub fn needs_from(&self) -> Option<u64> {
        (self.state == State::Live).then_some(self.offset)
    }

    /// Finds out where to read. A cursor more than `lag_bytes` behind jumps to the newest sync
    /// point, if there is one ahead of it.
    pub fn settle(&mut self, log: &StreamLog, lag_bytes: u64) -> Place {
        match self.state {
            State::Paused => Place::Wait,
            State::Await => match log.newest_sync() {
                Some(sync) if sync.offset >= self.offset => self.start_at(sync, 0),
                _ => Place::Wait,
            },
            State::Live => {
                let lost = self.offset < log.base();
                if !lost && log.visible().saturating_sub(self.offset) <= lag_bytes {
                    return Place::Follow(self.offset);
                }
                match log.newest_sync() {
                    Some(sync) if sync.offset > self.offset => {
                        let skipped = sync.offset - self.offset;
                        self.start_at(sync, skipped)
                    }
                    _ if lost => {
                        self.state = State::Await;
                        self.offset = log.visible();
                        Place::Wait
                    }
                    _ => Place::Follow(self.offset),
                }
            }
        }
    }

    /// The bytes up to `offset`, a message boundary, are on their way.
    pub fn advance_to(&mut self, offset: u64) {
        debug_assert!(self.state == State::Live, "only a live cursor reads");
        debug_assert!(offset >= self.offset, "cursors never go back by themselves");
        self.offset = offset;
    }

    /// Stops reading.
    pub fn pause(&mut self) {
        self.state = State::Paused;
    }

    /// Reads again, live, from the newest sync point.
    pub fn resume(&mut self) {
        if self.state == State::Paused {
            self.state = State::Await;
            self.offset = 0;
        }
    }

    /// Whether the player is paused.
    pub fn is_paused(&self) -> bool {
        self.state == State::Paused
    }

    /// Goes to the sync point at or before `time`; None when the log does not reach back there.
    /// A paused cursor reads on.
    pub fn seek(&mut self, log: &StreamLog, time: Timestamp) -> Option<SyncPoint> {
        let sync = log.sync_before(time)?;
        self.offset = sync.offset;
        self.state = State::Live;
        Some(sync)
    }

    /// Waits for the first sync point of `log`: the log before it is gone.
    pub fn restart(&mut self) {
        if self.state != State::Paused {
            self.state = State::Await;
        }
        self.offset = 0;
    }

    fn start_at(&mut self, sync: SyncPoint, skipped: u64) -> Place {
        self.offset = sync.offset;
        self.state = State::Live;
        Place::Start { sync, skipped }
    }
}
