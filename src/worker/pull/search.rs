//! The search for an origin that has the stream: whose turn it is to be asked, and what that has
//! come to.

use std::time::{Duration, Instant};

use super::{Pull, PutOff};
use crate::worker::address::Key;
use crate::worker::held::{Early, Held};
use crate::worker::ids::OriginId;
use crate::worker::line::State;

/// Whose turn it is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Turn {
    /// That of [`Pull::server`], or of where that has redirected to.
    Ask,
    /// The next may be asked again after a while.
    Later,
    /// All were asked.
    RoundOver,
}

/// What it has come to that all origins were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Outcome {
    /// None has the stream, which was over at that time.
    Over(Instant),
    /// None has the stream.
    Missing,
    /// There is none besides that of the open connection.
    NoOther,
    /// Some may have it.
    Failed,
}

/// The search for media.
impl Pull {
    /// Since when there is no media; None while there is.
    pub(in crate::worker) fn dark_since(&self) -> Option<Instant> {
        self.dark_since
    }

    /// Whether there is no media.
    pub(in crate::worker) fn is_dark(&self) -> bool {
        self.dark_since.is_some()
    }

    /// Since when there is no media although all origins were asked. They are also asked while
    /// there is media, for an origin that asked to be left.
    pub(in crate::worker) fn in_vain_since(&self) -> Option<Instant> {
        Some(self.dark_since?.max(self.all_asked?))
    }

    /// There is no media since `since`; false when that is known.
    pub(in crate::worker) fn lose_media(&mut self, since: Instant, now: Instant) -> bool {
        if self.is_dark() {
            return false;
        }
        self.dark_since = Some(since);
        if self.has_one_origin() {
            self.all_asked = Some(since);
        }
        self.line.forget_old_failures(now);
        true
    }

    /// There is media.
    pub(in crate::worker) fn regain_media(&mut self) {
        (self.dark_since, self.all_asked, self.over_since) = (None, None, None);
    }

    /// Whether an origin is to be looked for.
    pub(in crate::worker) fn needs_search(&self) -> bool {
        self.is_dark() || self.held().is_some_and(Held::is_leaving)
    }

    /// Looks for an origin that has the stream, unless that is under way. Those who look again and
    /// again, since no origin lasts, do so ever more slowly: `pause` says how long they wait after
    /// so many failures.
    pub(in crate::worker) fn search(&mut self, now: Instant, pause: impl FnOnce(u32) -> Duration) {
        if !self.line.is_idle() {
            return;
        }
        self.begin_round();
        let wait = match self.line.failures() {
            0 => Duration::ZERO,
            failures => pause(failures),
        };
        self.line.wait(now.max(self.line.called_at() + wait));
    }

    /// Nobody is looked for any more; how far that had come.
    pub(in crate::worker) fn end_search(&mut self) -> State {
        self.early = Early::default();
        self.line.rest()
    }

    /// The origin that is asked, or was last.
    pub(in crate::worker) fn server(&self) -> OriginId {
        self.origins.asked()
    }

    /// All origins.
    pub(in crate::worker) fn origins(&self) -> &[OriginId] {
        self.origins.all()
    }

    /// Whether there is one origin, so that nothing is won by leaving it.
    pub(in crate::worker) fn has_one_origin(&self) -> bool {
        self.origins.all().len() == 1
    }

    /// Whether no origin was asked in this round.
    pub(in crate::worker) fn is_round_new(&self) -> bool {
        self.origins.is_round_new()
    }

    /// Begins with all origins anew. That of the open connection is not asked. If it wants to be
    /// left, where it sends us is asked first; or itself, last.
    pub(super) fn begin_round(&mut self) {
        self.origins.begin_round();
        let Some(held) = &self.held else {
            return;
        };
        if let Some(to) = held.sent_to() {
            self.line.redirect_to(to.clone());
            self.origins.turn_to(held.server());
        }
        self.origins.go_on_behind(held.server());
    }

    /// Turns to the next origin of this round, unless the last has redirected. `lacks`: whether an
    /// origin is known not to have the stream, for players of an address.
    pub(in crate::worker) fn turn_to_next(
        &mut self,
        now: Instant,
        lacks: impl Fn(OriginId, Option<Key>) -> bool,
    ) -> Turn {
        if self.line.is_redirected() {
            return Turn::Ask;
        }
        while let Some(server) = self.origins.next() {
            if let Some(held) = self.held().filter(|held| held.server() == server) {
                match held.again_at() {
                    None => continue,
                    Some(at) if at > now => {
                        self.put_back();
                        self.line.wait(at);
                        return Turn::Later;
                    }
                    Some(_) => {}
                }
            }
            self.origins.turn_to(server);
            // Whether the stream is over is for answers of now.
            if self.over_since.is_some() || !lacks(server, self.askers.current()) {
                return Turn::Ask;
            }
            self.origins.count_asked();
            self.origins.count_missing();
        }
        Turn::RoundOver
    }

    /// The origin whose turn it is is asked later.
    pub(in crate::worker) fn put_back(&mut self) {
        if !self.line.is_redirected() {
            self.origins.put_back();
        }
    }

    /// The origin whose turn it is is asked now.
    pub(in crate::worker) fn begin_asking(&mut self, now: Instant) {
        self.put_off = None;
        self.origins.count_asked();
        self.early = Early::default();
        if self.origins.is_round_over() {
            self.all_asked.get_or_insert(now);
        }
    }

    /// The origin that is asked does not have the stream.
    pub(in crate::worker) fn count_missing(&mut self) {
        self.origins.count_missing();
    }

    /// The origin that is asked is lost, or was never reached: the next one is asked. Which it was.
    pub(in crate::worker) fn lose_asked(&mut self, now: Instant) -> OriginId {
        self.line.wait(now);
        self.line.set_slot(None);
        self.server()
    }

    /// All origins were asked: begins anew. `is_new`: there has been no media yet.
    pub(in crate::worker) fn end_round(&mut self, is_new: bool, now: Instant) -> Outcome {
        self.all_asked.get_or_insert(now);
        let outcome = match (&self.held, self.over_since.filter(|_| !is_new)) {
            (None, Some(since)) if self.origins.all_lack_it() => Outcome::Over(since),
            (None, None) if self.origins.all_lack_it() => Outcome::Missing,
            (Some(_), _) if self.origins.is_round_new() => Outcome::NoOther,
            _ => Outcome::Failed,
        };
        self.begin_round();
        self.put_off = match outcome {
            Outcome::Over(_) | Outcome::Missing => Some(PutOff::Missing),
            _ => self.put_off.filter(|why| *why == PutOff::Share),
        };
        outcome
    }
}
