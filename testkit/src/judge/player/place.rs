//! Which message of its stream a player has got, and whether it may come at all.

use tailwater_rtmp::message::{HEAD_BYTES, Message, Timestamp, kind};

use super::{Ahead, Half, Player};
use crate::judge::Verdict;
use crate::judge::truth::{Entry, Place, Publication, Truth};

impl Player {
    /// Judges one message.
    ///
    /// # Errors
    /// It may not come: why.
    pub fn take(&mut self, truth: &mut Truth, message: &Message<'_>) -> Verdict {
        if !self.playing || self.paused {
            let what = if self.paused { "paused" } else { "idle" };
            return Err(format!("media while {what}"));
        }
        let time = message.header.timestamp;
        let mut head = [0; HEAD_BYTES];
        let head = message.payload.head(&mut head);
        let known = truth.identify(self.stream, message.header.kind, head);
        if let (Some((had, _)), Some((at, _))) = (self.life_of, known) {
            self.life_of = None;
            let epoch_of = |at| truth.at(self.stream, at).epoch;
            self.is_shifted |= epoch_of(had) != epoch_of(at);
        }
        // Metadata that comes first of all is at 0, whatever the time is.
        let is_free = self.is_timeless(truth);
        let is_open = |last: Timestamp| is_free || self.restarts || self.fresh && last.0 == 0;
        if !self.clock.last().is_some_and(is_open) {
            self.clock.check(time)?;
        }
        if self.is_loose() || is_free || truth.was_late(self.stream) {
            self.take_loosely(truth, known, message)
        } else {
            self.take_strictly(truth, known, message)
        }
    }

    fn take_strictly(
        &mut self,
        truth: &mut Truth,
        known: Option<(usize, u32)>,
        message: &Message<'_>,
    ) -> Verdict {
        let is_header = known.is_some_and(|(_, tag)| Publication::header_index(tag).is_some());
        // Once one header has come ahead of something, all that come at its time do.
        let time = message.header.timestamp.0;
        let mut ahead = self.ahead.iter().flatten();
        let next = match self.place {
            _ if is_header && ahead.any(|ahead| ahead.time == time) => None,
            Some(_) if self.fresh && self.has_ahead() => None,
            Some(place) => self.next_place(truth, place, message),
            None => self.first_place(truth, message),
        };
        if let Some(place) = next {
            // One that had pictures to wait for gets their headers before the first of them.
            let comes_with_headers = truth.may_start(truth.entry(self.stream, place))
                && message.header.kind == kind::VIDEO;
            let may_jump = self.fresh || self.may_jump || self.resumed;
            if self.has_ahead() && !may_jump && !comes_with_headers {
                return Err(self.lost(truth, "headers ahead of no jump"));
            }
            if self.has_ahead() && !comes_with_headers || self.place.is_none() {
                self.may_lack_pictures();
            }
            if !self.fresh {
                self.ahead = [None; 4];
            }
            return self.follow(truth, place, message);
        }
        match known {
            None => Err(self.lost(truth, "a message nobody sent, or out of order")),
            Some((at, tag)) if is_header => self.take_ahead(truth, at, tag, message),
            Some((at, tag)) => self.jump(truth, (at, tag as usize), message),
        }
    }

    fn take_loosely(
        &mut self,
        truth: &mut Truth,
        known: Option<(usize, u32)>,
        message: &Message<'_>,
    ) -> Verdict {
        if let Some((at, tag)) = known
            && Publication::header_index(tag).is_some()
        {
            self.loose = true;
            return self.take_ahead(truth, at, tag, message);
        }
        self.judge_halves(message)?;
        let next = self
            .place
            .and_then(|place| self.next_place(truth, place, message));
        let place = match (next, known) {
            (Some(place), _) => place,
            _ if !self.fresh
                && !self.loose
                && !self.has_ahead()
                && !self.may_jump
                && !truth.was_late(self.stream) =>
            {
                return Err(self.lost(truth, "a gap, or a message nobody sent"));
            }
            // Too short to tell which one it is.
            (None, None) => return Ok(()),
            (None, Some((at, tag))) => (at, tag as usize),
        };
        let sent = truth.sent(self.stream, place, message);
        let entry = sent.map_err(|what| self.lost(truth, what))?;
        if self.place.is_some_and(|before| place <= before) && !self.fresh && !self.restarts {
            return Err(self.lost(truth, "a message again"));
        }
        let publication = truth.at(self.stream, place.0);
        let start = (0..=place.1).rev().find(|seq| {
            let entry = &publication.entries[*seq];
            entry.sync || *seq < place.1 && !self.may_skip(entry)
        });
        let is_start = start.is_some_and(|seq| truth.may_start(&publication.entries[seq]));
        let is_picture = entry.is_picture();
        if next.is_none() && self.fresh && !(is_picture && is_start) {
            self.start_at(truth, place)?;
        } else if self.has_ahead() && !is_picture {
            self.may_lack_pictures();
        }
        let is_inter = entry.inter.is_some() && !entry.nameless;
        if self.video == Half::AtSync && is_inter && !truth.may_start(entry) {
            return Err(self.lost(truth, "video comes back without a key frame"));
        }
        self.arrive(truth, place, message)?;
        self.ahead = [None; 4];
        self.fresh = false;
        self.loose = false;
        Ok(())
    }

    /// The place of `message` when it is one that may come next.
    fn next_place(&self, truth: &Truth, (at, seq): Place, message: &Message<'_>) -> Option<Place> {
        let order = truth.lines[self.stream].order.len();
        self.place_in(truth, (at, seq + 1), message)
            .or_else(|| (at + 1..order).find_map(|at| self.place_in(truth, (at, 0), message)))
    }

    /// The same for a player that was there before the first message.
    fn first_place(&self, truth: &Truth, message: &Message<'_>) -> Option<Place> {
        let order = truth.lines[self.stream].order.len();
        if self.has_ahead() {
            return None;
        }
        let place = (0..order).find_map(|at| self.place_in(truth, (at, 0), message))?;
        // Not one of the headers ahead of a jump, unless it has the same time.
        (truth.entry(self.stream, place).time == message.header.timestamp.0).then_some(place)
    }

    /// The place of `message` from `from` on, with nothing left out that has to come.
    fn place_in(&self, truth: &Truth, from: Place, message: &Message<'_>) -> Option<Place> {
        let publication = truth.at(self.stream, from.0);
        for (seq, entry) in publication.entries.iter().enumerate().skip(from.1) {
            if self.is_it(publication, entry, message) {
                return Some((from.0, seq));
            }
            if !self.may_skip(entry) {
                return None;
            }
        }
        None
    }

    /// Whether `message` is this very entry. A header ahead of a jump has the same bytes and
    /// another time.
    fn is_it(&self, publication: &Publication, entry: &Entry, message: &Message<'_>) -> bool {
        let time = message.header.timestamp;
        let shifted = |shift: u32| entry.time.wrapping_add(shift) == time.0;
        // A picture that nobody got may have come in between.
        let stays = self.clock.last().is_some() && self.clock.check(time).is_ok();
        let is_same = || entry.is(message.header.kind, &message.payload);
        // What comes before the media of a publisher that has returned stands still.
        if self.is_shifted || publication.is_unsteady {
            return is_same();
        }
        let is_still = entry.early && publication.shift != Some(0);
        let fits = match (entry.seen_at, publication.shift) {
            (Some(seen), _) => seen == time.0,
            (None, _) if is_still => stays || shifted(0) || self.is_loose(),
            (None, Some(shift)) => shifted(shift) || entry.early && stays,
            (None, None) => !entry.early || shifted(0) || stays,
        };
        fits && is_same()
    }

    /// Whether the player does not get this one, or may not.
    pub(super) fn may_skip(&self, entry: &Entry) -> bool {
        if self.is_loose() && (entry.header.is_some() || self.fresh && entry.nameless) {
            return true;
        }
        match entry.kind {
            kind::AUDIO => self.audio != Half::On,
            kind::VIDEO if entry.optional => true,
            kind::VIDEO => match self.video {
                Half::On => false,
                Half::Off | Half::Either | Half::Back | Half::Unknown => true,
                Half::AtSync => !entry.sync || self.is_new,
            },
            _ => false,
        }
    }

    pub(super) fn has_filter(&self) -> bool {
        (self.audio, self.video) != (Half::On, Half::On)
    }

    pub(super) fn is_loose(&self) -> bool {
        self.loose || self.has_filter()
    }

    /// Whether times say nothing about places.
    pub(super) fn is_timeless(&self, truth: &Truth) -> bool {
        self.is_shifted || truth.is_unsteady(self.stream)
    }

    /// It starts somewhere. There may be no sync point, if it is no picture; then pictures come
    /// from the next on.
    fn start_at(&mut self, truth: &Truth, place: Place) -> Verdict {
        let publication = truth.at(self.stream, place.0);
        let entry = &publication.entries[place.1];
        let has_video = publication
            .entries
            .iter()
            .any(|entry| entry.kind == kind::VIDEO);
        if entry.is_picture() {
            if !truth.may_start(entry) {
                return Err(self.lost(truth, "a start where no player may start"));
            }
        } else if self.video == Half::On && has_video {
            // Where it could have started as well, nobody knows.
            self.video = match truth.may_start(entry) {
                true => Half::Unknown,
                false => Half::AtSync,
            };
        }
        Ok(())
    }

    /// It may have started without pictures just now.
    fn may_lack_pictures(&mut self) {
        if self.video == Half::On {
            self.video = Half::Unknown;
        }
    }

    pub(super) fn has_ahead(&self) -> bool {
        self.ahead.iter().any(Option::is_some)
    }

    fn follow(&mut self, truth: &mut Truth, place: Place, message: &Message<'_>) -> Verdict {
        if let Some(before) = self.place
            && before.0 != place.0
        {
            self.leave(truth, before, place)?;
        }
        if truth.entry(self.stream, place).coded {
            self.fresh = false;
        }
        self.arrive(truth, place, message)
    }

    /// One publication is over and another goes on: nothing of the old one may be missing.
    fn leave(&self, truth: &mut Truth, before: Place, next: Place) -> Verdict {
        let epoch = truth.at(self.stream, next.0).epoch;
        // It may be a jump as well as a step.
        let entry = truth.entry(self.stream, next);
        let is_open = self.may_jump || entry.sync || self.may_be_ahead(truth, entry);
        let number = truth.at(self.stream, before.0).number as usize;
        let old = &mut truth.publications[number];
        if is_open || old.epoch != epoch || next.0 != before.0 + 1 {
            return Ok(());
        }
        if *old.closed_at.get_or_insert(before.1) != before.1 || old.seen_to > old.closed_at {
            let (seen, closed) = (old.seen_to, old.closed_at);
            return Err(format!(
                "publication {number} ended for one player behind message {}, others got up to \
                 {seen:?} and {closed:?}",
                before.1
            ));
        }
        Ok(())
    }

    /// Whether a header in its place may as well be one ahead of a jump: those that a publication
    /// begins with are also those that count at its first key frame.
    pub(super) fn may_be_ahead(&self, truth: &Truth, entry: &Entry) -> bool {
        let is_far = |from| truth.bytes_behind(self.stream, from) > truth.lag_bytes;
        entry.header.is_some()
            && (self.may_jump || self.resumed || self.jumps_from.is_some_and(is_far))
    }

    /// A header that may come before a jump.
    fn take_ahead(&mut self, truth: &Truth, at: usize, tag: u32, message: &Message<'_>) -> Verdict {
        let publication = truth.at(self.stream, at);
        let taken = self.headers.take(publication, tag, &message.payload);
        let need = taken.map_err(|what| self.lost(truth, what))?;
        let time = message.header.timestamp.0;
        let is_other = |ahead: &Ahead| ahead.time != time && ahead.time != 0;
        if time != 0 && self.ahead.iter().flatten().any(is_other) {
            // Of one jump that another has overtaken.
            self.ahead = [None; 4];
        }
        self.ahead[need as usize] = Some(Ahead {
            number: publication.number,
            tag,
            time,
        });
        Ok(())
    }

    fn jump(&mut self, truth: &mut Truth, place: Place, message: &Message<'_>) -> Verdict {
        let sent = truth.sent(self.stream, place, message);
        sent.map_err(|what| self.lost(truth, what))?;
        self.start_at(truth, place)?;
        if let Some(before) = self.place
            && !self.fresh
        {
            if place <= before && !self.restarts {
                return Err(self.lost(truth, "a message again"));
            }
            let from = self.jumps_from.unwrap_or(before);
            let behind = truth.bytes_behind(self.stream, from);
            if behind <= truth.lag_bytes && !self.may_jump && !self.resumed {
                let why = format!("a jump by a player {behind} bytes behind at most");
                return Err(self.lost(truth, &why) + &format!("; it goes to {place:?}"));
            }
        }
        self.judge_ahead(truth, place)?;
        self.judge_seek(truth, message.header.timestamp.0)?;
        self.ahead = [None; 4];
        self.fresh = false;
        self.arrive(truth, place, message)
    }
}
