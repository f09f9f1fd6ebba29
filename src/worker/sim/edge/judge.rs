//! What may come to whoever plays a stream that has gone through several relays.
//!
//! The next message of the publication it is in, always. Another one only where a player may
//! start, and with the headers that count there; or the first of a publication. How often that
//! was is counted, since lines that are called anew are the only reason. Time never steps back,
//! and a picture that needs others comes only behind the key frame, unless there has been none
//! for so long that each picture is a place to start at.

use std::collections::HashMap;

use super::super::truth::{Entry, Need, Publication, Truth};
use crate::rtmp::message::{Timestamp, kind};

/// See the module text.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) stream: usize,
    /// The last message, publication and number.
    pub(super) at: Option<(u32, usize)>,
    /// The furthest message of each publication.
    furthest: HashMap<u32, usize>,
    /// The publication that coded media comes from.
    flows: Option<u32>,
    /// It has started without pictures, and none has come.
    is_dark: bool,
    /// The publication of which it has had a key frame, and every message since.
    keyed: Option<u32>,
    /// The headers it has, publication and number of each.
    known: [Option<(u32, u32)>; 4],
    last_time: Option<Timestamp>,
    /// The same of sound, of pictures and of the rest.
    track_times: [Option<Timestamp>; 3],
    /// Lines that had been dialled for the stream when it began.
    pub(super) dials: u64,
    /// Starts at messages it had before.
    pub(super) again: u64,
    /// Starts at another place of the publication it was in.
    pub(super) jumps: u64,
}

impl Judge {
    pub(super) fn new(stream: usize, dials: u64) -> Self {
        Self {
            stream,
            at: None,
            furthest: HashMap::new(),
            flows: None,
            is_dark: false,
            keyed: None,
            known: [None; 4],
            last_time: None,
            track_times: [None; 3],
            dials,
            again: 0,
            jumps: 0,
        }
    }

    /// Judges one message.
    pub(super) fn take(
        &mut self,
        truth: &Truth,
        message_kind: u8,
        time: Timestamp,
        body: &[u8],
    ) -> Result<(), String> {
        self.judge_time(truth, message_kind, time)?;
        let is_it = |entry: &Entry| entry.kind == message_kind && *entry.body == *body;
        let entry = |(number, seq): (u32, usize)| {
            let entries = &truth.publications[number as usize].entries;
            entries.get(seq).filter(|entry| is_it(entry))
        };
        let is_left_out = |place: &(u32, usize)| {
            let entries = &truth.publications[place.0 as usize].entries;
            let entry = entries.get(place.1);
            let is_dark = self.is_dark || self.keyed != Some(place.0);
            is_dark && entry.is_some_and(|entry| entry.kind == kind::VIDEO && !entry.sync)
        };
        let mut next = self.at.map(|(number, seq)| (number, seq + 1));
        while let Some(place) = next.as_mut().filter(|place| entry(**place).is_none())
            && is_left_out(place)
        {
            place.1 += 1;
        }
        if let Some(place) = next.filter(|place| entry(*place).is_some()) {
            return self.follow(truth, place);
        }
        let order = &truth.lines[self.stream].order;
        match truth.identify(self.stream, message_kind, body) {
            Some((at, tag)) if Publication::header_index(tag).is_some() => {
                self.take_header(truth, order[at], tag, body)
            }
            Some((at, tag)) => {
                let place = (order[at], tag as usize);
                if entry(place).is_none() {
                    return Err(self.lost(truth, "a message that was changed on the way"));
                }
                self.start(truth, place)
            }
            None => {
                // Too short to be numbered: the first of a publication, or the first at a start;
                // what comes next says where that was.
                let mut firsts = order.iter().map(|number| (*number, 0));
                let is_sent = |number: &u32| {
                    let entries = &truth.publications[*number as usize].entries;
                    entries.iter().any(|entry| entry.nameless && is_it(entry))
                };
                match firsts.find(|place| entry(*place).is_some()) {
                    Some(place) => self.follow(truth, place),
                    None if order.iter().any(is_sent) => Ok(()),
                    None => Err(self.lost(truth, "a message nobody sent, or a gap")),
                }
            }
        }
    }

    /// Time never steps back; where the clock of a publisher has stepped, sound and pictures find
    /// the new one each by itself.
    fn judge_time(
        &mut self,
        truth: &Truth,
        message_kind: u8,
        time: Timestamp,
    ) -> Result<(), String> {
        let track = match message_kind {
            kind::AUDIO => 0,
            kind::VIDEO => 1,
            _ => 2,
        };
        let last = match truth.is_unsteady(self.stream) {
            true => self.track_times[track],
            false => self.last_time,
        };
        // Metadata that comes first of all is at 0, whatever the time is.
        if let Some(last) = last.filter(|_| self.flows.is_some())
            && time.since(last) < 0
        {
            return Err(format!("time steps back from {} to {}", last.0, time.0));
        }
        (self.last_time, self.track_times[track]) = (Some(time), Some(time));
        Ok(())
    }

    fn take_header(
        &mut self,
        truth: &Truth,
        number: u32,
        tag: u32,
        body: &[u8],
    ) -> Result<(), String> {
        let publication = &truth.publications[number as usize];
        let index = Publication::header_index(tag).unwrap_or(usize::MAX);
        match publication.headers.get(index) {
            Some((need, known)) if **known == *body => {
                self.known[*need as usize] = Some((number, tag));
            }
            _ => return Err(self.lost(truth, "a header that was changed on the way")),
        }
        // Ahead of a start; or the first message of a publication, which is one as well.
        if publication.entries[0]
            .header
            .is_some_and(|(_, its)| its == tag)
        {
            self.at = Some((number, 0));
        }
        Ok(())
    }

    fn start(&mut self, truth: &Truth, place: (u32, usize)) -> Result<(), String> {
        let entry = &truth.publications[place.0 as usize].entries[place.1];
        if place.1 == 0 {
            return self.follow(truth, place);
        }
        let is_picture = entry.kind == kind::VIDEO && entry.coded;
        if is_picture && !truth.may_start(entry) {
            return Err(self.lost(truth, &format!("a start at {place:?}, where nobody may")));
        }
        // Headers of pictures that change before the first picture come with that.
        let needs: &[usize] = if is_picture { &[0, 1, 2, 3] } else { &[0, 3] };
        self.judge_known(place.0, entry, needs)?;
        self.is_dark = !entry.sync;
        self.keyed = None;
        let furthest = self.furthest.get(&place.0);
        self.again += u64::from(furthest.is_some_and(|furthest| place.1 <= *furthest));
        self.jumps += u64::from(self.flows == Some(place.0));
        self.follow(truth, place)
    }

    fn follow(&mut self, truth: &Truth, place: (u32, usize)) -> Result<(), String> {
        let entry = &truth.publications[place.0 as usize].entries[place.1];
        if let Some((need, tag)) = entry.header {
            self.known[need as usize] = Some((place.0, tag));
        }
        // One that is cut short does not tell what it is.
        if entry.kind == kind::VIDEO && entry.coded && !entry.nameless {
            let is_start = truth.may_start(entry);
            if self.keyed != Some(place.0) && !is_start {
                return Err(self.lost(truth, &format!("{place:?} comes without its key frame")));
            }
            self.keyed = Some(place.0);
            self.is_dark = false;
        }
        if entry.coded {
            let needs: &[usize] = match entry.kind {
                kind::VIDEO => &[Need::Video as usize, Need::VideoMetadata as usize],
                _ => &[Need::Audio as usize],
            };
            self.judge_known(place.0, entry, needs)?;
            self.flows = Some(place.0);
            let furthest = self.furthest.entry(place.0).or_default();
            *furthest = place.1.max(*furthest);
        }
        self.at = Some(place);
        Ok(())
    }

    fn judge_known(&self, number: u32, entry: &Entry, needs: &[usize]) -> Result<(), String> {
        for &need in needs {
            if let Some(tag) = entry.in_force[need]
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

    /// What is wrong, with where it stands.
    pub(super) fn lost(&self, truth: &Truth, what: &str) -> String {
        let line = &truth.lines[self.stream];
        let sent = line.order.iter().map(|number| {
            let publication = &truth.publications[*number as usize];
            (*number, publication.entries.len(), publication.open)
        });
        let sent = sent.collect::<Vec<_>>();
        format!("{what}; {} is at {:?} of {sent:?}", line.name, self.at)
    }
}
