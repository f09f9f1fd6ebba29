//! What has to be true of a message that has its place, and what is missing at rest.

use tailwater_rtmp::message::{Message, Timestamp, kind};

use super::{Ahead, Half, Player};
use crate::judge::Verdict;
use crate::judge::parts::Headers;
use crate::judge::truth::{Entry, Need, Place, Truth};

impl Player {
    /// The headers before a jump are those that count there, stamped like what they are for.
    pub(super) fn judge_ahead(&self, truth: &Truth, sync: Place) -> Verdict {
        let publication = truth.at(self.stream, sync.0);
        let entry = &publication.entries[sync.1];
        for (index, ahead) in self.ahead.into_iter().enumerate() {
            let Some(Ahead { number, tag, time }) = ahead else {
                continue;
            };
            let is_later = entry.kind != kind::VIDEO && matches!(index, 1 | 2);
            if !is_later && (number, Some(tag)) != (publication.number, entry.in_force[index]) {
                return Err(format!(
                    "header {number}:{tag:x} comes before {sync:?} of publication {}, where {:x?} \
                     count",
                    publication.number, entry.in_force
                ));
            }
            // Metadata goes to a new player at time 0.
            let is_zero = index == Need::Metadata as usize && time == 0;
            // Those of a start without pictures have the time of what came before it.
            let is_it = |seen: u32| Timestamp(seen).since(Timestamp(time)) >= 0;
            if entry.seen_at.is_some_and(|seen| !is_it(seen)) && !is_zero {
                return Err(format!("headers at {time} go before {:?}", entry.seen_at));
            }
        }
        let needs = Headers::needs_of_start(entry.kind == kind::VIDEO);
        self.headers
            .check(publication.number, &entry.in_force, needs)
    }

    /// A player that seeks gets what it was told it would, unless it falls behind again.
    pub(super) fn judge_seek(&mut self, truth: &Truth, time: u32) -> Verdict {
        match self.seek {
            (Some(place), Some(sought))
                if sought != time
                    && !self.may_jump
                    && truth.bytes_behind(self.stream, place) <= truth.lag_bytes
                    && truth.keeps(self.stream, sought) =>
            {
                Err(self.lost(truth, &format!("a seek to {sought} was undone")))
            }
            _ => {
                self.seek.1 = None;
                Ok(())
            }
        }
    }

    pub(super) fn arrive(
        &mut self,
        truth: &mut Truth,
        place: Place,
        message: &Message<'_>,
    ) -> Verdict {
        let number = truth.at(self.stream, place.0).number;
        let time = message.header.timestamp;
        let has_times = !self.is_timeless(truth);
        self.judge_picture(truth, place)?;
        let entry = truth.entry(self.stream, place);
        if entry.coded {
            let judged = self.clock.take_track(entry.kind, time);
            judged.map_err(|what| format!("{what}: {entry:?}"))?;
        }
        let is_first = truth.lines[self.stream].order[0] == number;
        // Where such a one stands is not known well enough for others to be measured by it.
        let is_ahead = self.may_be_ahead(truth, entry);
        let is_unsure = self.is_loose() || self.fresh || is_ahead;
        let publication = &mut truth.publications[number as usize];
        let entry = &mut publication.entries[place.1];
        if let Some(seen) = entry.seen_at
            && seen != time.0
            && has_times
        {
            return Err(format!(
                "{place:?} is at {seen} for some, not at {}",
                time.0
            ));
        }
        let shift = time.0.wrapping_sub(entry.time);
        if has_times && (entry.coded || is_first) {
            let expected = publication.shift.unwrap_or(shift);
            if shift != expected || is_first && shift != 0 {
                return Err(format!(
                    "{place:?} is shifted by {shift}, not by {expected}"
                ));
            }
            publication.shift = Some(shift);
        }
        if has_times && (entry.coded || !is_unsure) {
            entry.seen_at = Some(time.0);
        }
        if let Some((need, tag)) = entry.header {
            self.headers.set(need, number, tag);
        } else {
            self.jumps_from = Some(place);
            self.resumed = false;
        }
        match entry.kind {
            kind::VIDEO
                if entry.coded
                    && !entry.nameless
                    && matches!(self.video, Half::AtSync | Half::Unknown) =>
            {
                self.video = Half::On;
            }
            kind::AUDIO if self.audio == Half::Back => self.audio = Half::On,
            _ => {}
        }
        publication.seen_to = publication.seen_to.max(Some(place.1));
        if publication.closed_at.is_some_and(|last| place.1 > last) {
            return Err(format!(
                "{place:?} comes after the end that others were given"
            ));
        }
        let needs = Headers::needs(entry);
        self.headers.check(number, &entry.in_force, needs)?;
        self.is_new = false;
        self.restarts = false;
        self.place = Some(place);
        self.clock.set(time);
        Ok(())
    }

    /// A picture that needs others does not come before the key frame it needs, unless there has
    /// been none for long.
    fn judge_picture(&self, truth: &Truth, place: Place) -> Verdict {
        let publication = truth.at(self.stream, place.0);
        let entry = &publication.entries[place.1];
        let is_held = entry.inter.is_some() && !entry.nameless && !truth.may_start(entry);
        let had_key = publication.entries[..place.1]
            .iter()
            .any(|before| before.is_picture() && before.sync);
        match is_held && !had_key {
            true => Err(self.lost(truth, "a picture before the first key frame")),
            false => Ok(()),
        }
    }

    /// What was turned off does not come.
    pub(super) fn judge_halves(&self, message: &Message<'_>) -> Verdict {
        match message.header.kind {
            kind::AUDIO if self.audio == Half::Off => Err("audio that was turned off".to_owned()),
            kind::VIDEO if self.video == Half::Off => Err("video that was turned off".to_owned()),
            _ => Ok(()),
        }
    }

    /// After everything has come to rest: whether the player has everything. `open` is the
    /// publication that goes on.
    ///
    /// # Errors
    /// Something is missing.
    pub fn judge_rest(&self, truth: &Truth, open: usize) -> Result<bool, String> {
        let entries = &truth.at(self.stream, open).entries;
        // One that reads on has jumped once it has had the headers that go ahead of that.
        let has_jumped = self.may_jump || self.resumed && self.has_ahead();
        if self.fresh && self.is_loose() || has_jumped && self.has_filter() {
            // What it gets is too little to tell.
            return Ok(false);
        }
        let Some(place) = self.place.filter(|_| !self.fresh) else {
            let first = match self.fresh_from {
                (at, count) if at == open => count,
                (at, _) if at < open => 0,
                _ => return Ok(false),
            };
            // One that has had the headers of a start may have lost that place before it could
            // take more; of what is that far behind nothing is owed to it.
            let is_owed = |seq: usize| {
                let behind = truth.bytes_behind(self.stream, (open, seq));
                !self.has_ahead() || behind <= truth.lag_bytes
            };
            let mut starts = entries.iter().enumerate().skip(first);
            let is_start = |entry: &Entry| {
                let is_sound = entry.kind == kind::AUDIO && entry.coded;
                entry.sure || is_sound && truth.starts_at_once && self.audio == Half::On
            };
            return match starts.any(|(seq, entry)| is_start(entry) && is_owed(seq)) {
                true => Err(self.lost(truth, "it could have started")),
                false => Ok(false),
            };
        };
        let first = if place.0 == open { place.1 + 1 } else { 0 };
        let is_missing = |entry: &&Entry| {
            let is_untold = self.is_loose() && entry.nameless;
            !self.may_skip(entry) && !is_untold
        };
        match entries.iter().skip(first).filter(is_missing).count() {
            0 => Ok(place.0 == open),
            // One that was too far behind, or whose worker was, waits for a place to start at.
            _ if self.may_jump => Ok(false),
            _ if truth.bytes_behind(self.stream, place) > truth.lag_bytes => Ok(false),
            count => Err(self.lost(truth, &format!("{count} messages did not come"))),
        }
    }

    pub(super) fn lost(&self, truth: &Truth, what: &str) -> String {
        let line = &truth.lines[self.stream];
        let sent: Vec<_> = (0..line.order.len())
            .map(|at| truth.at(self.stream, at))
            .map(|known| (known.epoch, known.entries.len(), known.shift))
            .collect();
        let next: Vec<_> = self.place.map_or(Vec::new(), |(at, seq)| {
            let entries = truth.at(self.stream, at).entries.iter().skip(seq + 1);
            let next = entries.take(6).map(|next| {
                (
                    next.kind,
                    next.time,
                    next.body.len(),
                    next.coded,
                    next.inter,
                    next.optional,
                )
            });
            next.collect()
        });
        format!(
            "{what}; {} is at {:?} before {next:?} (fresh {}, loose {}); epochs, messages and \
             shifts {sent:?}",
            line.name,
            self.place,
            self.fresh,
            self.is_loose()
        )
    }
}
