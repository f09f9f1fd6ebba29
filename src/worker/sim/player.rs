//! What one player may get, and what it has got: the judge of every message that arrives.
//!
//! It follows its stream message by message. It may jump only to a message a player may start
//! at, with the headers that count there before it, and only when it asked for another place,
//! was further behind than is allowed, or its worker was.
//!
//! A player that has turned one half off is judged less strictly: a header that comes may be of
//! the stream itself or ahead of a jump, and what would tell is among what it does not get. It
//! still has to get nothing twice, nothing out of order, nothing it cannot decode, and without
//! a header in between nothing may be missing.

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
    /// It was off, and may be on again.
    Unknown,
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
    /// A seek: what it had when it asked for that, and the time it went to.
    seek: (Option<Place>, Option<u32>),
    /// Its worker has lost part of the stream since it last had everything.
    pub(super) may_jump: bool,
    /// The last message it got.
    place: Option<Place>,
    /// The last one that was no header: headers behind it may be those ahead of a jump.
    jumps_from: Option<Place>,
    /// It may go on anywhere.
    fresh: bool,
    /// How much had been sent when it was last allowed to go anywhere.
    fresh_from: Place,
    /// While a half was off, a header has come since the last other message.
    loose: bool,
    /// It may be about to get another life of its stream.
    restarts: bool,
    last_time: Option<Timestamp>,
    /// It has come over from another stream, on a timeline of its own.
    pub(super) is_shifted: bool,
    /// It was paused; it may have lost its place, and jumps once at most.
    resumed: bool,
    /// Time of the last coded audio and video message, and how many had that.
    track_times: [Option<(Timestamp, usize)>; 2],
    /// The headers it has, publication and number of each.
    known: [Option<(u32, u32)>; 4],
    ahead: [Option<Ahead>; 4],
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
            seek: (None, None),
            may_jump: false,
            place: None,
            jumps_from: None,
            fresh: true,
            fresh_from: (0, 0),
            loose: false,
            restarts: false,
            last_time: None,
            is_shifted: false,
            resumed: false,
            track_times: [None; 2],
            known: [None; 4],
            ahead: [None; 4],
        }
    }

    /// The next message may be from anywhere in `stream`.
    pub(super) fn go_anywhere(&mut self, truth: &Truth, stream: usize) {
        if std::mem::replace(&mut self.stream, stream) != stream {
            self.seek.0 = None;
        }
        self.fresh = true;
        self.place = None;
        self.jumps_from = None;
        self.last_time = None;
        self.track_times = [None; 2];
        self.seek.1 = None;
        self.loose = false;
        self.ahead = [None; 4];
        let order = &truth.lines[stream].order;
        self.fresh_from = match order.len().checked_sub(1) {
            Some(last) => (last, truth.at(stream, last).entries.len()),
            None => (0, 0),
        };
    }

    /// It was told that it went over to another stream: its time goes on there.
    pub(super) fn go_over(&mut self, truth: &Truth, stream: usize) {
        let times = self.track_times;
        self.go_anywhere(truth, stream);
        self.track_times = times;
        self.is_shifted = true;
    }

    /// It was paused and reads on: where it stood, or further ahead.
    pub(super) fn resume(&mut self, truth: &Truth) {
        match self.place {
            Some(_) if !self.fresh => self.resumed = true,
            _ => {
                let times = self.track_times;
                self.go_anywhere(truth, self.stream);
                self.track_times = times;
            }
        }
    }

    /// It was told that it went over to the stream it plays: it goes on, or with another life
    /// of the stream.
    pub(super) fn go_on(&mut self) {
        self.restarts = true;
        self.may_jump = true;
        for half in [&mut self.audio, &mut self.video] {
            if *half != Half::On {
                *half = Half::Unknown;
            }
        }
    }

    /// What was turned off before comes back with another play; what was turned off for it
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

    /// The time of the last message it got.
    pub(super) fn last_seen(&self) -> u32 {
        self.last_time.map_or(0, |time| time.0)
    }

    /// Judges one message.
    pub(super) fn take(&mut self, truth: &mut Truth, message: &Message<'_>) -> Verdict {
        if !self.playing || self.paused && !self.restarts {
            let what = if self.paused { "paused" } else { "idle" };
            return Err(format!("media while {what}"));
        }
        let time = message.header.timestamp;
        // Metadata that comes first of all is at 0, whatever the time is.
        let is_free = self.is_timeless(truth);
        let is_open = |last: &Timestamp| is_free || self.restarts || self.fresh && last.0 == 0;
        if let Some(last) = self.last_time.filter(|last| !is_open(last))
            && time.since(last) < 0
        {
            return Err(format!("time steps back from {} to {}", last.0, time.0));
        }
        let mut head = [0; HEAD_BYTES];
        let head = message.payload.head(&mut head);
        let known = truth.identify(self.stream, message.header.kind, head);
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
        let publication = truth.at(self.stream, place.0);
        let Some(entry) = publication.entries.get(place.1) else {
            return Err(self.lost(truth, "a message that was not sent yet"));
        };
        if entry.kind != message.header.kind || !is_same(&message.payload, &entry.body) {
            return Err(self.lost(truth, "a message that was changed on the way"));
        }
        if self.place.is_some_and(|before| place <= before) && !self.fresh && !self.restarts {
            return Err(self.lost(truth, "a message again"));
        }
        let start = (0..=place.1).rev().find(|seq| {
            let entry = &publication.entries[*seq];
            entry.sync || *seq < place.1 && !self.may_skip(entry)
        });
        let is_start = start.is_some_and(|seq| truth.may_start(&publication.entries[seq]));
        let is_picture = entry.coded && entry.kind == kind::VIDEO;
        if next.is_none() && self.fresh && !(is_picture && is_start) {
            self.start_at(truth, place)?;
        } else if self.has_ahead() && !is_picture {
            self.may_lack_pictures();
        }
        let entry = truth.entry(self.stream, place);
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
        let stays = self.last_time.is_some_and(|last| time.since(last) >= 0);
        // What comes before the media of a publisher that has returned stands still.
        if self.is_shifted || publication.is_unsteady {
            return entry.kind == message.header.kind && is_same(&message.payload, &entry.body);
        }
        let is_still = entry.early && publication.shift != Some(0);
        let fits = match (entry.seen_at, publication.shift) {
            (Some(seen), _) => seen == time.0,
            (None, _) if is_still => stays || shifted(0) || self.is_loose(),
            (None, Some(shift)) => shifted(shift) || entry.early && stays,
            (None, None) => !entry.early || shifted(0) || stays,
        };
        fits && entry.kind == message.header.kind && is_same(&message.payload, &entry.body)
    }

    /// Whether the player does not get this one, or may not.
    fn may_skip(&self, entry: &Entry) -> bool {
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

    fn has_filter(&self) -> bool {
        (self.audio, self.video) != (Half::On, Half::On)
    }

    fn is_loose(&self) -> bool {
        self.loose || self.has_filter()
    }

    /// Whether times say nothing about places.
    fn is_timeless(&self, truth: &Truth) -> bool {
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
        if entry.kind == kind::VIDEO && entry.coded {
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

    fn has_ahead(&self) -> bool {
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
    fn may_be_ahead(&self, truth: &Truth, entry: &Entry) -> bool {
        let is_far = |from| truth.bytes_behind(self.stream, from) > truth.lag_bytes;
        entry.header.is_some()
            && (self.may_jump || self.resumed || self.jumps_from.is_some_and(is_far))
    }

    /// A header that may come before a jump.
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
        let is_other = |ahead: &Ahead| ahead.time != time && ahead.time != 0;
        if time != 0 && self.ahead.iter().flatten().any(is_other) {
            // Of one jump that another has overtaken.
            self.ahead = [None; 4];
        }
        self.ahead[*need as usize] = Some(Ahead {
            number: publication.number,
            tag,
            time,
        });
        Ok(())
    }

    fn jump(&mut self, truth: &mut Truth, place: Place, message: &Message<'_>) -> Verdict {
        let publication = truth.at(self.stream, place.0);
        let Some(entry) = publication.entries.get(place.1) else {
            return Err(self.lost(truth, "a message that was not sent yet"));
        };
        if entry.kind != message.header.kind || !is_same(&message.payload, &entry.body) {
            return Err(self.lost(truth, "a message that was changed on the way"));
        }
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

    /// The headers before a jump are those that count there, stamped like what they are for.
    fn judge_ahead(&self, truth: &Truth, sync: Place) -> Verdict {
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
        // Headers of pictures that change before the first picture come with that.
        let needs: &[usize] = match entry.kind {
            kind::VIDEO => &[0, 1, 2, 3],
            _ => &[0, 3],
        };
        self.judge_known(publication.number, &entry.in_force, needs)
    }

    fn judge_known(&self, number: u32, in_force: &InForce, needs: &[usize]) -> Verdict {
        for &need in needs {
            if let Some(tag) = in_force[need]
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

    /// A player that seeks gets what it was told it would, unless it falls behind again.
    fn judge_seek(&mut self, truth: &Truth, time: u32) -> Verdict {
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

    /// It asks for another place.
    pub(super) fn begin_seek(&mut self) {
        self.seek = (self.place, None);
    }

    /// It is told that it goes on at `time`.
    pub(super) fn end_seek(&mut self, truth: &Truth, time: Option<u32>) {
        self.paused = false;
        self.go_anywhere(truth, self.stream);
        self.seek.1 = time;
    }

    fn arrive(&mut self, truth: &mut Truth, place: Place, message: &Message<'_>) -> Verdict {
        let number = truth.at(self.stream, place.0).number;
        let time = message.header.timestamp;
        let has_times = !self.is_timeless(truth);
        self.judge_picture(truth, place)?;
        self.judge_track(truth.entry(self.stream, place), time)?;
        let is_first = truth.lines[self.stream].order[0] == number;
        // Where such a one stands is not known well enough for others to be measured by it.
        let is_ahead = self.may_be_ahead(truth, truth.entry(self.stream, place));
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
            self.known[need as usize] = Some((number, tag));
        }
        if entry.header.is_none() {
            self.jumps_from = Some(place);
            self.resumed = false;
        }
        let in_force = entry.in_force;
        let needs: &[usize] = match (entry.kind, entry.coded) {
            (kind::VIDEO, true) => &[Need::Video as usize, Need::VideoMetadata as usize],
            (kind::AUDIO, true) => &[Need::Audio as usize],
            _ => &[],
        };
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
        self.judge_known(number, &in_force, needs)?;
        self.is_new = false;
        if std::mem::take(&mut self.restarts) {
            self.paused = false;
        }
        self.place = Some(place);
        self.last_time = Some(time);
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
            .any(|before| before.kind == kind::VIDEO && before.coded && before.sync);
        match is_held && !had_key {
            true => Err(self.lost(truth, "a picture before the first key frame")),
            false => Ok(()),
        }
    }

    /// The time of a track never steps back, and never stands still for long.
    fn judge_track(&mut self, entry: &Entry, time: Timestamp) -> Verdict {
        if !entry.coded {
            return Ok(());
        }
        let before = &mut self.track_times[usize::from(entry.kind == kind::VIDEO)];
        let (last, count) = before.unwrap_or((time, 0));
        *before = Some((time, if last == time { count + 1 } else { 1 }));
        match time.since(last) {
            ..0 => Err(format!(
                "time of {entry:?} steps back from {} to {}",
                last.0, time.0
            )),
            0 if count > 50 => Err(format!("time stands still at {}", time.0)),
            _ => Ok(()),
        }
    }

    /// What was turned off does not come.
    fn judge_halves(&self, message: &Message<'_>) -> Verdict {
        match message.header.kind {
            kind::AUDIO if self.audio == Half::Off => Err("audio that was turned off".to_owned()),
            kind::VIDEO if self.video == Half::Off => Err("video that was turned off".to_owned()),
            _ => Ok(()),
        }
    }

    /// After everything has come to rest: whether the player has everything. `open` is the
    /// publication that goes on.
    pub(super) fn judge_rest(&self, truth: &Truth, open: usize) -> Result<bool, String> {
        let entries = &truth.at(self.stream, open).entries;
        if self.fresh && self.is_loose() || self.may_jump && self.has_filter() {
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

    fn lost(&self, truth: &Truth, what: &str) -> String {
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
