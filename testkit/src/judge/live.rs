//! A live stream whose messages tell their numbers: nothing may be missing from where its player
//! has joined, and it joins at a key frame.

use tailwater_rtmp::message::{Timestamp, kind};

use super::Verdict;
use super::parts::{Clock, Sequence, Step};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The header of a sequence.
    Header,
    /// Sound, or a picture that can be decoded by itself.
    Alone,
    /// A picture that needs those before it.
    Inter,
}

/// A message of a live stream.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Audio or video, see [`kind`].
    pub kind: u8,
    /// What it is.
    pub class: Class,
    /// When it is to be shown.
    pub time: Timestamp,
    /// Its number in its track, of what is no header; none when its body is not as it was sent.
    pub number: Option<u64>,
}

/// See the module text.
#[derive(Clone, Debug, Default)]
pub struct LiveJudge {
    clock: Clock,
    tracks: [Track; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    sequence: Sequence,
    has_header: bool,
}

impl LiveJudge {
    /// The numbers that come next, of audio and of video.
    pub fn next(&self) -> [Option<u64>; 2] {
        self.tracks.map(|track| track.sequence.next())
    }

    /// Takes a message.
    ///
    /// # Errors
    /// It may not come: why.
    pub fn take(&mut self, received: &Received) -> Verdict {
        let track = &mut self.tracks[usize::from(received.kind == kind::VIDEO)];
        self.clock.take(received.time)?;
        if received.class == Class::Header {
            track.has_header = true;
            return Ok(());
        }
        self.clock.take_track(received.kind, received.time)?;
        if !track.has_header {
            return Err("it comes before its header".to_owned());
        }
        let is_first = track.sequence.next().is_none();
        if is_first && received.class == Class::Inter {
            return Err("it comes before its key frame".to_owned());
        }
        let number = received.number.ok_or("its body was changed")?;
        match track.sequence.take(number) {
            Step::On => Ok(()),
            Step::Missing(count) => Err(format!("{count} before {number} are missing")),
            Step::Again => Err(format!("{number} comes again")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a message behind a header and a key frame of number 7 at 100 ms.
    fn judged(change: impl FnOnce(&mut Received), first: usize) -> Verdict {
        let sent = [(Class::Header, None), (Class::Alone, Some(7))];
        let received = |(class, number)| Received {
            kind: kind::VIDEO,
            class,
            time: Timestamp(100),
            number,
        };
        let mut judge = LiveJudge::default();
        for message in sent.map(received).iter().skip(first) {
            judge.take(message)?;
        }
        let mut message = received((Class::Inter, Some(8)));
        change(&mut message);
        judge.take(&message)
    }

    #[test]
    fn each_fault_is_found() {
        judged(|_| {}, 0).unwrap();
        let check = |why: &str, judged: Verdict| assert_eq!(judged.unwrap_err(), why);
        check("1 before 9 are missing", judged(|m| m.number = Some(9), 0));
        check("7 comes again", judged(|m| m.number = Some(7), 0));
        check("its body was changed", judged(|m| m.number = None, 0));
        let back = |m: &mut Received| m.time = Timestamp(99);
        check("time steps back from 100 to 99", judged(back, 0));
        check("it comes before its header", judged(|_| {}, 1));
        let mut judge = LiveJudge::default();
        let header = Received {
            kind: kind::VIDEO,
            class: Class::Header,
            time: Timestamp(0),
            number: None,
        };
        judge.take(&header).unwrap();
        let inter = Received {
            class: Class::Inter,
            number: Some(3),
            ..header
        };
        check("it comes before its key frame", judge.take(&inter));
    }
}
