//! What one player may get, and what it has got: the judge of every message that arrives.
//!
//! It follows its stream message by message. It may jump only to a message a player may start
//! at, with the headers that count there before it, and only when it asked for another place,
//! was further behind than is allowed, or its worker was.

use super::truth::{Entry, InForce, Need, Place, Publication, Truth, is_same};
use crate::rtmp::message::{HEAD_BYTES, Message, Timestamp, kind};

/// Whether one half of the media comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    On,
    Off,
    /// The relay was told to leave it out and may not have read that yet.
    Either,
    /// Comes back with a key frame.
    AtSync,
    /// Comes back with the next message there is.
    Back,
}

/// A header that was sent ahead of a jump.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    number: u32,
    tag: u32,
    time: u32,
}

/// See the module text.
#[derive(Clone, Debug)]
pub(super) struct Player {
    pub(super) msid: u32,
    /// What it plays, as an index of the truth's lines.
    pub(super) stream: usize,
    /// A play that was asked for and not answered.
    pub(super) asked: Option<usize>,
    pub(super) playing: bool,
    pub(super) paused: bool,
    /// A play2 that was asked for and neither done nor refused.
    pub(super) switching: bool,
    pub(super) audio: Half,
    pub(super) video: Half,
    /// What it turned off, audio and video, while there was nothing to play: the next play is
    /// without it.
    pub(super) off_next: (bool, bool),
    /// The half it asked to have back, by message type id.
    pub(super) turns_on: Option<u8>,
    /// Nothing has come since it got a half back.
    pub(super) is_new: bool,
    /// The half it has got back, whose headers come first.
    pub(super) refreshes: Option<u8>,
    /// The last message it got.
    pub(super) place: Option<Place>,
    /// It may go on anywhere.
    pub(super) fresh: bool,
    /// How much had been sent when it was last allowed to go anywhere.
    pub(super) fresh_from: (usize, usize),
    /// A seek: what had been sent when it was asked for, and the time it went to.
    pub(super) seek: (u64, Option<u32>),
    /// Its worker has lost part of the stream since the last rest.
    pub(super) may_jump: bool,
    /// It may be about to get another life of its stream.
    restarts: bool,
    last_time: Option<Timestamp>,
    known: [Option<(u32, u32)>; 4],
    ahead: [Option<Ahead>; 4],
    pub(super) messages: u64,
    pub(super) jumps: u64,
}

/// What is wrong.
pub(super) type Verdict = Result<(), String>;

impl Player {
    pub(super) fn new(msid: u32, stream: usize) -> Self {
        Self {
            msid,
            stream,
            asked: Some(stream),
            playing: false,
            paused: false,
            switching: false,
            audio: Half::On,
            video: Half::On,
            off_next: (false, false),
            turns_on: None,
            is_new: false,
            refreshes: None,
            place: None,
            fresh: true,
            fresh_from: (0, 0),
            seek: (0, None),
            may_jump: false,
            restarts: false,
            last_time: None,
            known: [None; 4],
            ahead: [None; 4],
            messages: 0,
            jumps: 0,
        }
    }

    /// The next message may be from anywhere in `stream`.
    pub(super) fn go_anywhere(&mut self, truth: &Truth, stream: usize) {
        self.stream = stream;
        self.fresh = true;
        self.place = None;
        self.last_time = None;
        self.ahead = [None; 4];
        let order = &truth.lines[stream].order;
        self.fresh_from = match order.len().checked_sub(1) {
            Some(last) => (last, truth.at(stream, last).entries.len()),
            None => (0, 0),
        };
    }

    /// What was turned off before comes back with another stream; what was turned off for it
    /// stays off.
    pub(super) fn begin_whole(&mut self) {
        let off = std::mem::take(&mut self.off_next);
        let begin = |half, off| match half {
            _ if off => Half::Off,
            // What is not read yet will be about the other stream.
            Half::Either => Half::Either,
            _ => Half::On,
        };
        self.audio = begin(self.audio, off.0);
        self.video = begin(self.video, off.1);
    }

    /// The relay has read what was asked last.
    pub(super) fn pass_barrier(&mut self) {
        let pass = |half: &mut Half, off: &mut bool| {
            if *half == Half::Either {
                *off = !self.playing;
                *half = if *off { Half::On } else { Half::Off };
            }
        };
        pass(&mut self.audio, &mut self.off_next.0);
        pass(&mut self.video, &mut self.off_next.1);
    }

    /// It was told that it went over to the stream it plays: it goes on, or with another life
    /// of the stream.
    pub(super) fn go_on(&mut self) {
        self.restarts = true;
        self.may_jump = true;
    }

    /// The time of the last message it got.
    pub(super) fn last_seen(&self) -> u32 {
        self.last_time.map_or(0, |time| time.0)
    }

    /// Judges one message.
    pub(super) fn take(&mut self, truth: &mut Truth, message: &Message<'_>) -> Verdict {
        if !self.playing || self.paused {
            return Err(format!(
                "media while {}",
                if self.paused { "paused" } else { "idle" }
            ));
        }
        self.messages += 1;
        let time = message.header.timestamp;
        // Metadata that comes first of all is at 0, whatever the time is.
        let is_open = |last: &Timestamp| self.restarts || self.fresh && last.0 == 0;
        let last = self.last_time.filter(|last| !is_open(last));
        if let Some(last) = last
            && time.since(last) < 0
        {
            return Err(format!("time steps back from {} to {}", last.0, time.0));
        }
        let mut head = [0; HEAD_BYTES];
        let head = message.payload.head(&mut head);
        let known = truth.identify(self.stream, message.header.kind, head);
        let is_header = known.is_some_and(|(_, tag)| Publication::header_index(tag).is_some());
        // Of a half that does not come, headers come ahead of something only.
        let is_off = |half| matches!(half, Half::Off | Half::AtSync | Half::Back);
        let is_ahead = is_header
            && match message.header.kind {
                kind::AUDIO => is_off(self.audio),
                kind::VIDEO => is_off(self.video),
                _ => false,
            };
        let jumps = self.fresh && self.ahead.iter().any(Option::is_some);
        let next = match self.place {
            _ if is_ahead => None,
            Some(_) if jumps => None,
            Some(place) => self.next_place(truth, place, message),
            None => self.first_place(truth, message),
        };
        if let Some(place) = next {
            return self.follow(truth, place, message);
        }
        let Some((at, tag)) = known else {
            if self.has_filter() {
                // Too short to tell which one it is: where it stands is open again.
                self.fresh = true;
                return Ok(());
            }
            return Err(self.lost(truth, "a message nobody sent, or out of order"));
        };
        if is_header && let Some(place) = self.after_filter(truth, at, tag, message) {
            let mut jumped = self.clone();
            if jumped.jump(truth, place, message).is_ok() {
                *self = jumped;
                return Ok(());
            }
        }
        if is_header {
            return self.take_ahead(truth, at, tag, message);
        }
        if jumps
            && let Some(place) = self
                .place
                .and_then(|place| self.next_place(truth, place, message))
        {
            // It may as well be that these headers came in the stream itself.
            let mut jumped = self.clone();
            if jumped.jump(truth, (at, tag as usize), message).is_err() {
                return self.follow(truth, place, message);
            }
            *self = jumped;
            return Ok(());
        }
        self.jump(truth, (at, tag as usize), message)
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
        if self.ahead.iter().any(Option::is_some) {
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
        let stays = self.last_time == Some(time) || !self.fresh && self.has_filter();
        // What comes before the media of a publisher that has returned stands still.
        let is_still = entry.early && publication.shift != Some(0);
        let fits = match (entry.seen_at, publication.shift) {
            (Some(seen), _) => seen == time.0,
            (None, _) if is_still => stays || shifted(0),
            (None, Some(shift)) => shifted(shift),
            (None, None) => !entry.early || shifted(0) || stays,
        };
        fits && entry.kind == message.header.kind && is_same(&message.payload, &entry.body)
    }

    /// Whether the player does not get this one, or may not.
    pub(super) fn may_skip(&self, entry: &Entry) -> bool {
        if self.fresh && self.has_filter() && entry.nameless {
            return true;
        }
        match entry.kind {
            kind::AUDIO => self.audio != Half::On,
            kind::VIDEO => match self.video {
                Half::On => false,
                Half::Off | Half::Either | Half::Back => true,
                Half::AtSync => !entry.sync || self.is_new,
            },
            _ => false,
        }
    }

    fn has_filter(&self) -> bool {
        (self.audio, self.video) != (Half::On, Half::On)
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

    /// Where a header lies in the stream, when it may come behind the start of a player that is
    /// sent nothing of what it started with.
    fn after_filter(
        &self,
        truth: &Truth,
        at: usize,
        tag: u32,
        message: &Message<'_>,
    ) -> Option<Place> {
        if !self.has_filter() || message.header.kind != kind::DATA {
            return None;
        }
        let publication = truth.at(self.stream, at);
        let time = message.header.timestamp.0;
        let is_it = |entry: &Entry| {
            let shifted = publication
                .shift
                .is_none_or(|shift| entry.time.wrapping_add(shift) == time);
            entry.header.is_some_and(|(_, known)| known == tag)
                && entry.seen_at.map_or(shifted, |seen| seen == time)
        };
        let seq = publication.entries.iter().position(is_it)?;
        Some((at, seq))
    }

    /// One publication is over and another goes on: nothing of the old one may be missing.
    fn leave(&self, truth: &mut Truth, before: Place, next: Place) -> Verdict {
        let epoch = truth.at(self.stream, next.0).epoch;
        // It may be a jump as well as a step.
        let is_open = self.may_jump || truth.entry(self.stream, next).sync;
        let number = truth.at(self.stream, before.0).number as usize;
        let old = &mut truth.publications[number];
        if self.has_filter() || is_open || old.epoch != epoch || next.0 != before.0 + 1 {
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

    /// A header that comes before a jump.
    fn take_ahead(&mut self, truth: &Truth, at: usize, tag: u32, message: &Message<'_>) -> Verdict {
        let publication = truth.at(self.stream, at);
        let index = Publication::header_index(tag).unwrap_or(usize::MAX);
        let Some((need, body)) = publication.headers.get(index) else {
            return Err(self.lost(truth, "a header nobody sent"));
        };
        if !is_same(&message.payload, body) {
            return Err(self.lost(truth, "a header that was changed on the way"));
        }
        self.known[*need as usize] = Some((publication.number, tag));
        let time = message.header.timestamp.0;
        if time != 0
            && self
                .ahead
                .iter()
                .flatten()
                .any(|ahead| ahead.time != time && ahead.time != 0)
        {
            // Of one jump that another has overtaken.
            self.ahead = [None; 4];
        }
        self.ahead[*need as usize] = Some(Ahead {
            number: publication.number,
            tag,
            time: message.header.timestamp.0,
        });
        Ok(())
    }

    fn jump(&mut self, truth: &mut Truth, place: Place, message: &Message<'_>) -> Verdict {
        let publication = truth.at(self.stream, place.0);
        let entries = &publication.entries;
        let Some(entry) = entries.get(place.1) else {
            return Err(self.lost(truth, "a message that was not sent yet"));
        };
        if entry.kind != message.header.kind || !is_same(&message.payload, &entry.body) {
            return Err(self.lost(truth, "a message that was changed on the way"));
        }
        // Where it starts it may be sent nothing that it does not want.
        let mut verdict = Err(self.lost(truth, "a jump to where no player may start"));
        for sync in (0..=place.1).rev() {
            if sync < place.1 && !self.may_skip(&entries[sync]) {
                break;
            }
            if entries[sync].sync {
                verdict = self.judge_ahead(truth, (place.0, sync));
            }
            if verdict.is_ok() {
                break;
            }
        }
        // Data alone does not tell where it started.
        let is_media = matches!(message.header.kind, kind::AUDIO | kind::VIDEO);
        let is_open = self.has_filter() && !is_media;
        let is_sure = verdict.is_ok();
        if !is_open || !self.fresh {
            verdict?;
        }
        if let Some(before) = self.place
            && !self.fresh
        {
            if place <= before && !self.restarts {
                return Err(self.lost(truth, "a message again"));
            }
            let behind = truth.bytes_behind(self.stream, before);
            if behind <= truth.lag_bytes && !self.may_jump && !is_open {
                let why = format!("a jump by a player {behind} bytes behind at most");
                return Err(self.lost(truth, &why) + &format!("; it goes to {place:?}"));
            }
            self.jumps += 1;
        }
        if let Some(time) = self.seek.1.take()
            && time != message.header.timestamp.0
            && !self.has_filter()
            && !self.may_jump
            && truth.bytes_sent(self.stream) - self.seek.0 <= truth.lag_bytes
            && truth.keeps(self.stream, time)
        {
            return Err(self.lost(truth, &format!("a seek to {time} was undone")));
        }
        self.ahead = [None; 4];
        self.fresh = !is_sure;
        self.arrive(truth, place, message)
    }

    /// The headers before a jump are those that count there, stamped like what they are for.
    fn judge_ahead(&self, truth: &Truth, sync: Place) -> Verdict {
        let publication = truth.at(self.stream, sync.0);
        let entry = &publication.entries[sync.1];
        for (index, ahead) in self.ahead.into_iter().enumerate() {
            let Some(Ahead { number, tag, time }) = ahead else {
                continue;
            };
            // One that is sent only some of what comes may take headers for others.
            let counts = (number, Some(tag)) == (publication.number, entry.in_force[index]);
            if !counts && !self.has_filter() {
                return Err(format!(
                    "header {number}:{tag:x} comes before {sync:?} of publication {}, where {:x?} \
                     count",
                    publication.number, entry.in_force
                ));
            }
            // Metadata goes to a new player at time 0.
            let is_metadata = index == Need::Metadata as usize;
            let may_differ = is_metadata && time == 0 || self.has_filter();
            if entry.seen_at.is_some_and(|seen| seen != time) && !may_differ {
                return Err(format!("headers at {time} go before {:?}", entry.seen_at));
            }
        }
        self.judge_known(publication.number, &entry.in_force, &[0, 1, 2, 3])
    }

    fn judge_known(&self, number: u32, in_force: &InForce, needs: &[usize]) -> Verdict {
        let is_off = |half| matches!(half, Half::Off | Half::Either);
        for &need in needs {
            let half = match need {
                0 => Half::On,
                3 => self.audio,
                _ => self.video,
            };
            if let Some(tag) = in_force[need]
                && !is_off(half)
                && self.known[need] != Some((number, tag))
            {
                let known = self.known[need];
                return Err(format!(
                    "header {need} {number}:{tag:x} counts and the player has {known:x?}"
                ));
            }
        }
        Ok(())
    }

    fn arrive(&mut self, truth: &mut Truth, place: Place, message: &Message<'_>) -> Verdict {
        let number = truth.at(self.stream, place.0).number;
        let time = message.header.timestamp;
        if self.ahead.iter().any(Option::is_some) && !self.fresh && self.refreshes.is_none() {
            if !self.has_filter() {
                return Err(self.lost(truth, "headers ahead of no jump"));
            }
            // Some of them may have been taken for what they are in the stream itself.
            self.may_jump = true;
        }
        if self
            .refreshes
            .is_some_and(|kind| kind == message.header.kind)
        {
            self.refreshes = None;
            self.ahead = [None; 4];
        }
        let is_first = truth.lines[self.stream].order[0] == number;
        // Where such a one stands is not known well enough for others to be measured by it.
        let is_unsure = self.has_filter() || self.fresh;
        let publication = &mut truth.publications[number as usize];
        let entry = &mut publication.entries[place.1];
        if let Some(seen) = entry.seen_at
            && seen != time.0
        {
            return Err(format!(
                "{place:?} is at {seen} for some, not at {}",
                time.0
            ));
        }
        let shift = time.0.wrapping_sub(entry.time);
        if entry.coded || is_first {
            let expected = publication.shift.unwrap_or(shift);
            if shift != expected || is_first && shift != 0 {
                return Err(format!(
                    "{place:?} is shifted by {shift}, not by {expected}"
                ));
            }
            publication.shift = Some(shift);
        }
        if entry.coded || !is_unsure {
            entry.seen_at = Some(time.0);
        }
        if let Some((need, tag)) = entry.header {
            self.known[need as usize] = Some((number, tag));
        }
        let in_force = entry.in_force;
        let needs: &[usize] = match (entry.kind, entry.coded) {
            (kind::VIDEO, true) => &[Need::Video as usize, Need::VideoMetadata as usize],
            (kind::AUDIO, true) => &[Need::Audio as usize],
            _ => &[],
        };
        if entry.kind == kind::VIDEO && entry.sync && self.video == Half::AtSync {
            self.video = Half::On;
        }
        if entry.kind == kind::AUDIO && self.audio == Half::Back {
            self.audio = Half::On;
        }
        publication.seen_to = publication.seen_to.max(Some(place.1));
        if publication.closed_at.is_some_and(|last| place.1 > last) {
            return Err(format!(
                "{place:?} comes after the end that others were given"
            ));
        }
        self.judge_known(number, &in_force, needs)?;
        self.judge_halves(message)?;
        self.is_new = false;
        self.restarts = false;
        self.place = Some(place);
        self.last_time = Some(time);
        Ok(())
    }

    fn judge_halves(&self, message: &Message<'_>) -> Verdict {
        match message.header.kind {
            kind::AUDIO if self.audio == Half::Off => Err("audio that was turned off".to_owned()),
            kind::VIDEO if matches!(self.video, Half::Off | Half::AtSync) => {
                Err("video that was turned off".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// After everything has come to rest: whether the player has
    /// everything. `open` is the publication that goes on.
    pub(super) fn judge_rest(&self, truth: &Truth, open: usize) -> Result<bool, String> {
        let entries = &truth.at(self.stream, open).entries;
        let is_blind = self.audio != Half::On && self.video != Half::On;
        if is_blind || self.fresh && self.has_filter() {
            // What it gets is too little to tell.
            return Ok(false);
        }
        let Some(place) = self.place.filter(|_| !self.fresh) else {
            let first = match self.fresh_from {
                (at, count) if at == open => count,
                (at, _) if at < open => 0,
                _ => return Ok(false),
            };
            let start = entries.iter().skip(first).position(|entry| entry.sure);
            return match start {
                Some(start) if !entries[first + start..].iter().all(|e| self.may_skip(e)) => {
                    Err(self.lost(truth, "it could have started"))
                }
                _ => Ok(false),
            };
        };
        let first = match place.0 {
            at if at == open => place.1 + 1,
            _ => 0,
        };
        let missing = entries
            .iter()
            .skip(first)
            .filter(|entry| !self.may_skip(entry));
        match missing.count() {
            0 => Ok(place.0 == open),
            // One that was too far behind, or whose worker was, waits for a place to start at.
            _ if self.may_jump => Ok(false),
            _ if truth.bytes_behind(self.stream, place) > truth.lag_bytes => Ok(false),
            count => Err(self.lost(truth, &format!("{count} messages did not come"))),
        }
    }

    fn lost(&self, truth: &Truth, what: &str) -> String {
        let line = &truth.lines[self.stream];
        let sent: Vec<_> = (0..line.order.len())
            .map(|at| truth.at(self.stream, at))
            .map(|publication| {
                (
                    publication.epoch,
                    publication.entries.len(),
                    publication.shift,
                )
            })
            .collect();
        format!(
            "{what}; stream {} is at {:?} (fresh {}), sent so far {sent:?}",
            line.name, self.place, self.fresh
        )
    }
}
