//! What may come to whoever plays a stream that has gone through several relays.
//!
//! The next message of the publication it is in, always. Another one only where a player may
//! start, and with the headers that count there; or the first of a publication. How often that
//! was is counted, since lines that are called anew are the only reason. Time never steps back,
//! and a picture that needs others comes only behind the key frame, unless there has been none
//! for so long that each picture is a place to start at.

use std::collections::HashMap;

use tailwater_rtmp::message::{HEAD_BYTES, Payload, Timestamp, kind};

use super::Verdict;
use super::parts::{Clock, Headers};
use super::truth::{Publication, Truth};

/// See the module text.
#[derive(Debug)]
pub struct Relayed {
    /// What it plays, as an index of the truth's lines.
    pub stream: usize,
    /// The last message, publication and number.
    pub at: Option<(u32, usize)>,
    /// The furthest message of each publication.
    furthest: HashMap<u32, usize>,
    /// The publication that coded media comes from.
    flows: Option<u32>,
    /// It has started without pictures, and none has come.
    is_dark: bool,
    /// The publication of which it has had a key frame, and every message since.
    keyed: Option<u32>,
    headers: Headers,
    clock: Clock,
    /// Lines that had been dialled for the stream when it began.
    pub dials: u64,
    /// Starts at messages it had before.
    pub again: u64,
    /// Starts at another place of the publication it was in.
    pub jumps: u64,
}

impl Relayed {
    /// Judges who plays `stream`, for which so many lines have been dialled.
    pub fn new(stream: usize, dials: u64) -> Self {
        Self {
            stream,
            at: None,
            furthest: HashMap::new(),
            flows: None,
            is_dark: false,
            keyed: None,
            headers: Headers::default(),
            clock: Clock::default(),
            dials,
            again: 0,
            jumps: 0,
        }
    }

    /// Judges one message: its type id, its time and its payload.
    ///
    /// # Errors
    /// It may not come: why.
    pub fn take(
        &mut self,
        truth: &Truth,
        message_kind: u8,
        time: Timestamp,
        payload: &Payload<'_>,
    ) -> Verdict {
        self.judge_time(truth, message_kind, time)?;
        let entry = |(number, seq): (u32, usize)| {
            let entries = &truth.publications[number as usize].entries;
            entries
                .get(seq)
                .filter(|entry| entry.is(message_kind, payload))
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
        let mut head = [0; HEAD_BYTES];
        match truth.identify(self.stream, message_kind, payload.head(&mut head)) {
            Some((at, tag)) if Publication::header_index(tag).is_some() => {
                self.take_header(truth, order[at], tag, payload)
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
                    let mut entries = truth.publications[*number as usize].entries.iter();
                    entries.any(|entry| entry.nameless && entry.is(message_kind, payload))
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
    fn judge_time(&mut self, truth: &Truth, message_kind: u8, time: Timestamp) -> Verdict {
        let of_track = self.clock.take_track(message_kind, time);
        let of_all = self.clock.check(time);
        self.clock.set(time);
        // Metadata that comes first of all is at 0, whatever the time is.
        match self.flows {
            None => Ok(()),
            Some(_) if truth.is_unsteady(self.stream) => of_track,
            Some(_) => of_all,
        }
    }

    fn take_header(
        &mut self,
        truth: &Truth,
        number: u32,
        tag: u32,
        payload: &Payload<'_>,
    ) -> Verdict {
        let publication = &truth.publications[number as usize];
        let taken = self.headers.take(publication, tag, payload);
        taken.map_err(|what| self.lost(truth, what))?;
        // Ahead of a start; or the first message of a publication, which is one as well.
        if publication.entries[0]
            .header
            .is_some_and(|(_, its)| its == tag)
        {
            self.at = Some((number, 0));
        }
        Ok(())
    }

    fn start(&mut self, truth: &Truth, place: (u32, usize)) -> Verdict {
        let entry = &truth.publications[place.0 as usize].entries[place.1];
        if place.1 == 0 {
            return self.follow(truth, place);
        }
        let is_picture = entry.is_picture();
        if is_picture && !truth.may_start(entry) {
            return Err(self.lost(truth, &format!("a start at {place:?}, where nobody may")));
        }
        let needs = Headers::needs_of_start(is_picture);
        self.headers.check(place.0, &entry.in_force, needs)?;
        self.is_dark = !entry.sync;
        self.keyed = None;
        let furthest = self.furthest.get(&place.0);
        self.again += u64::from(furthest.is_some_and(|furthest| place.1 <= *furthest));
        self.jumps += u64::from(self.flows == Some(place.0));
        self.follow(truth, place)
    }

    fn follow(&mut self, truth: &Truth, place: (u32, usize)) -> Verdict {
        let entry = &truth.publications[place.0 as usize].entries[place.1];
        if let Some((need, tag)) = entry.header {
            self.headers.set(need, place.0, tag);
        }
        // One that is cut short does not tell what it is.
        if entry.is_picture() && !entry.nameless {
            let is_start = truth.may_start(entry);
            if self.keyed != Some(place.0) && !is_start {
                return Err(self.lost(truth, &format!("{place:?} comes without its key frame")));
            }
            self.keyed = Some(place.0);
            self.is_dark = false;
        }
        if entry.coded {
            let needs = Headers::needs(entry);
            self.headers.check(place.0, &entry.in_force, needs)?;
            self.flows = Some(place.0);
            let furthest = self.furthest.entry(place.0).or_default();
            *furthest = place.1.max(*furthest);
        }
        self.at = Some(place);
        Ok(())
    }

    /// What is wrong, with where it stands.
    pub fn lost(&self, truth: &Truth, what: &str) -> String {
        let line = &truth.lines[self.stream];
        let sent = line.order.iter().map(|number| {
            let publication = &truth.publications[*number as usize];
            (*number, publication.entries.len(), publication.open)
        });
        let sent = sent.collect::<Vec<_>>();
        format!("{what}; {} is at {:?} of {sent:?}", line.name, self.at)
    }
}
