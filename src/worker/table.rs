//! The streams of one worker, and their players.

mod feeds;
mod figures;
mod links;
mod player;
mod relays;

use std::sync::Arc;
use std::time::Instant;

use super::collections::List;
use super::ids::{ConnId, PlayerSlot, PushRuleId, WorkerId};
use super::pull::Pull;
use super::push::Push;
use super::timers::TimerId;
use crate::rtmp::name::StreamName;
use crate::stream::flv::FlvLogs;
use crate::stream::intake::Intake;
use crate::stream::log::{LogLimits, StreamLog, Times};

pub(super) use feeds::{Feed, Upstream};
pub(super) use figures::{Meter, Tally};
pub(super) use links::{Play, Publication, Streams};
pub(super) use player::Player;
pub(super) use relays::Relays;

/// A stream that somebody here publishes or plays, or waits for.
#[derive(Debug)]
pub(super) struct Stream {
    /// `app/name`.
    pub(super) name: Arc<str>,
    /// Which life of the stream; 0 before its first publisher.
    pub(super) epoch: u64,
    source: Source,
    /// Where its timer is, see timers.rs.
    pub(super) armed: Option<TimerId>,
    pub(super) log: StreamLog,
    /// The same for those who read it by HTTP.
    pub(super) flv: FlvLogs,
    pub(super) intake: Intake,
    pub(super) meter: Meter,
    pub(super) tally: Tally,
    /// In no order; a player that goes is replaced by the last.
    pub(super) players: Players,
    /// Other workers that have players of it; only where the publisher is.
    pub(super) feeds: Vec<Feed>,
    /// How far it has been taken; only where it comes from another worker.
    pub(super) upstream: Upstream,
    /// Players by HTTP wait to know which kinds of media come.
    pub(super) has_undecided: bool,
    /// On the worker's list of streams with something new.
    dirty: bool,
    /// How it is fetched, while this worker does that.
    pub(super) pull: Option<Box<Pull>>,
    /// Where it is handed on to.
    pub(super) pushes: Vec<Push>,
    /// What the first player asked for, where it may be fetched.
    pub(super) asked: Option<Box<StreamName>>,
    /// The stream that it is a probe of, see probe.rs.
    pub(super) probe_of: Option<Arc<str>>,
    /// The relays that its publisher and its players have come through; `None` before the first
    /// of them is looked at.
    pub(super) relays: Option<Box<Relays>>,
    /// Relays that play it were told that its publisher has gone.
    pub(super) is_end_told: bool,
}

/// The players of a stream. Only [`Streams`] adds and removes any.
#[derive(Debug, Default)]
pub(super) struct Players(List<PlayerSlot, Player>);

impl Players {
    fn push(&mut self, player: Player) -> PlayerSlot {
        self.0.push(player)
    }

    fn swap_remove(&mut self, slot: PlayerSlot) -> Player {
        self.0.swap_remove(slot)
    }
}

impl std::ops::Deref for Players {
    type Target = List<PlayerSlot, Player>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::Index<PlayerSlot> for Players {
    type Output = Player;

    fn index(&self, slot: PlayerSlot) -> &Player {
        &self.0[slot]
    }
}

impl std::ops::IndexMut<PlayerSlot> for Players {
    fn index_mut(&mut self, slot: PlayerSlot) -> &mut Player {
        &mut self.0[slot]
    }
}

impl Players {
    /// All of them, to be changed.
    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Player> {
        self.0.iter_mut()
    }
}

/// Where a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nowhere yet: players wait.
    Nobody,
    /// A connection of this worker, by slab key.
    Publisher(ConnId),
    /// The publisher has left; it may come back until the time given.
    Away {
        since: Instant,
        until: Instant,
        /// It has ended the stream, and was not lost: nobody begins to play until it is back.
        ended: bool,
    },
    /// Another worker.
    Fed { worker: WorkerId },
    /// An origin, which has sent nothing of it yet: players wait.
    Pulling,
}

impl Stream {
    /// Whether it is on the list of those with something new.
    #[cfg(test)]
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) fn new(name: Arc<str>, limits: LogLimits, now: Instant) -> Self {
        Self {
            name,
            epoch: 0,
            source: Source::Nobody,
            armed: None,
            log: StreamLog::new(limits),
            flv: FlvLogs::default(),
            intake: Intake::default(),
            meter: Meter::new(now),
            tally: Tally::new(now),
            players: Players::default(),
            feeds: Vec::new(),
            upstream: Upstream::default(),
            has_undecided: false,
            dirty: false,
            pull: None,
            pushes: Vec::new(),
            asked: None,
            probe_of: None,
            relays: None,
            is_end_told: false,
        }
    }

    /// Where it comes from.
    pub(super) fn source(&self) -> Source {
        self.source
    }

    /// The connection that publishes it, if it is one of this worker.
    pub(super) fn publisher(&self) -> Option<ConnId> {
        match self.source {
            Source::Publisher(key) => Some(key),
            _ => None,
        }
    }

    /// Whether there is a publisher, or was one just now.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.source, Source::Nobody | Source::Pulling)
    }

    /// Whether a player that comes now begins at once.
    pub(super) fn may_begin(&self) -> bool {
        match self.source {
            Source::Away { ended, .. } => !ended,
            Source::Fed { .. } => !self.upstream.is_ended(),
            _ => self.is_live(),
        }
    }

    /// Whether this worker answers for the stream to the others.
    pub(super) fn is_owned(&self) -> bool {
        matches!(
            self.source,
            Source::Publisher(_) | Source::Away { .. } | Source::Pulling
        )
    }

    /// Whether anybody but the targets it is handed on to plays it or waits for it here.
    pub(super) fn has_audience(&self) -> bool {
        self.players.len() > self.targets()
    }

    /// How many targets take it.
    pub(super) fn targets(&self) -> usize {
        let pushes = self.pushes.iter();
        pushes.filter(|push| push.is_publishing()).count()
    }

    /// How it is handed on by a rule.
    pub(super) fn push(&self, rule: PushRuleId) -> Option<&Push> {
        self.pushes.iter().find(|push| push.rule() == rule)
    }

    /// The same, to be changed.
    pub(super) fn push_mut(&mut self, rule: PushRuleId) -> Option<&mut Push> {
        self.pushes.iter_mut().find(|push| push.rule() == rule)
    }

    /// The times of the last messages that a player was sent, on its own timeline.
    pub(super) fn last_times_of(&self, slot: PlayerSlot) -> Option<Times> {
        self.players.get(slot)?.last_times(&self.log)
    }

    /// How long it has been without a publisher, in milliseconds.
    pub(super) fn away_ms(&self, now: Instant) -> u32 {
        let elapsed = match self.source {
            // It may be long past the end of its grace, and the timer not have come up yet: of a
            // machine that slept, the players' time does not leap.
            Source::Away { since, until, .. } => {
                until.min(now).saturating_duration_since(since).as_millis()
            }
            _ => 0,
        };
        u32::try_from(elapsed).unwrap_or(u32::MAX)
    }
}
