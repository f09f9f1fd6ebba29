//! What a checked player received: nothing missing, nothing twice or out of order, every byte as
//! it was sent, and how long each message took.

use tailwater::rtmp::message::kind;
use tailwater_testkit::judge::parts::{Sequence, Step};

use crate::media::{Media, read_label};

/// Follows the messages of one player. Numbers count from where it joined.
#[derive(Debug)]
pub struct Checker {
    stream: u32,
    /// The numbers of video and of audio.
    sequences: [Sequence; 2],
}

/// What all checked players received together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Coded messages.
    pub messages: u64,
    /// Messages that were passed over.
    pub lost: u64,
    /// Messages that came after a later one of their kind, or twice.
    pub misplaced: u64,
    /// Messages with other bytes than were sent, or of another stream.
    pub corrupt: u64,
    /// Time from sending to receiving in nanoseconds.
    pub delays_ns: Vec<u64>,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            lost: self.lost + other.lost,
            misplaced: self.misplaced + other.misplaced,
            corrupt: self.corrupt + other.corrupt,
            delays_ns: [&self.delays_ns[..], &other.delays_ns].concat(),
        }
    }
}

impl Checker {
    /// For a player of stream `stream`.
    pub fn new(stream: u32) -> Self {
        Self {
            stream,
            sequences: [Sequence::default(); 2],
        }
    }

    /// A coded message has arrived. `scratch` is overwritten.
    pub fn take(
        &mut self,
        media: &Media,
        message_kind: u8,
        body: &[u8],
        now_ns: u64,
        scratch: &mut Vec<u8>,
        tally: &mut Tally,
    ) {
        tally.messages += 1;
        let Some(label) = read_label(message_kind, body).filter(|l| l.stream == self.stream) else {
            tally.corrupt += 1;
            return;
        };
        media.write(&label, scratch);
        if scratch != body {
            tally.corrupt += 1;
            return;
        }
        let sequence = &mut self.sequences[usize::from(label.kind == kind::AUDIO)];
        match sequence.take(label.number) {
            Step::On => {}
            Step::Missing(count) => tally.lost += count,
            Step::Again => tally.misplaced += 1,
        }
        tally.delays_ns.push(now_ns.saturating_sub(label.sent_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Label, Shape};

    #[test]
    fn every_fault_is_counted_as_what_it_is() {
        let media = Media::new(Shape {
            bitrate: 200_000,
            frame_rate: 25,
            key_interval: 50,
        });
        let mut checker = Checker::new(3);
        let (mut tally, mut body, mut scratch) = (Tally::default(), Vec::new(), Vec::new());
        let mut receive = |kind, stream, number, flipped: Option<usize>| {
            let label = Label {
                kind,
                stream,
                number,
                sent_ns: 1_000,
            };
            media.write(&label, &mut body);
            if let Some(at) = flipped {
                body[at] ^= 1;
            }
            checker.take(&media, kind, &body, 1_500, &mut scratch, &mut tally);
            tally.clone()
        };
        receive(kind::VIDEO, 3, 10, None);
        receive(kind::AUDIO, 3, 2, None);
        receive(kind::AUDIO, 3, 3, None);
        let fine = receive(kind::VIDEO, 3, 11, None);
        assert_eq!((fine.messages, fine.delays_ns.len()), (4, 4));
        assert_eq!((fine.lost, fine.misplaced, fine.corrupt), (0, 0, 0));
        assert_eq!(receive(kind::VIDEO, 3, 14, None).lost, 2);
        assert_eq!(receive(kind::VIDEO, 3, 14, None).misplaced, 1);
        assert_eq!(receive(kind::VIDEO, 4, 15, None).corrupt, 1);
        assert_eq!(receive(kind::VIDEO, 3, 15, Some(600)).corrupt, 2);
        assert_eq!(receive(kind::VIDEO, 3, 15, None).lost, 2);
        assert_eq!(receive(kind::AUDIO, 3, 4, Some(0)).corrupt, 3);
    }
}
