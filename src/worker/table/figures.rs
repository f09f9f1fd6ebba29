//! What is counted of a stream: for its limits, and for those who look.

use std::time::Instant;

use crate::limits;

/// What the publisher of a stream sends, for deadlines and `--publish-bitrate-max`.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct Meter {
    /// Since when bytes are counted, ...
    since: Instant,
    /// ... and how many have come.
    bytes: u64,
    /// When audio or video came last.
    last_media: Instant,
}

/// Bytes of the header of a message in chunks, RTMP 1.0 §5.3.1.
const MESSAGE_HEADER_BYTES: usize = 12;

impl Meter {
    pub(in crate::worker) fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            last_media: now,
        }
    }

    /// One publish goes on with what was counted of the one before: so many bytes since then.
    pub(in crate::worker) fn go_on(&mut self, (since, bytes): (Instant, u64)) {
        (self.since, self.bytes) = (since, bytes);
    }

    /// Since when bytes are counted, and how many have come.
    pub(in crate::worker) fn counted(&self) -> (Instant, u64) {
        (self.since, self.bytes)
    }

    /// When audio or video came last; before the first, when the publish began.
    pub(in crate::worker) fn last_media(&self) -> Instant {
        self.last_media
    }

    /// Audio or video has come.
    pub(in crate::worker) fn note_media(&mut self, now: Instant) {
        self.last_media = now;
    }

    /// Counts a message with `len` bytes of payload, and its header.
    pub(in crate::worker) fn count(&mut self, len: usize) {
        self.bytes += (len + MESSAGE_HEADER_BYTES) as u64;
    }

    /// Whether more than `most` bytes have come within [`limits::BITRATE_TIME`]. Above that,
    /// counting begins anew.
    pub(in crate::worker) fn is_exceeded(&mut self, now: Instant, most: u64) -> bool {
        if self.bytes <= most {
            return false;
        }
        let elapsed = now.saturating_duration_since(self.since);
        self.since = now;
        self.bytes = 0;
        elapsed < limits::BITRATE_TIME
    }
}

/// What is counted of a stream on this worker, for those who look.
#[derive(Clone, Debug)]
pub(in crate::worker) struct Tally {
    /// When this life of it began.
    began: Instant,
    /// Times its publisher was away and came back.
    gaps: u64,
    /// Bytes sent to its players.
    bytes_out: u64,
    /// Times players were moved on to a key frame.
    skips: u64,
    /// Bytes that they did not get for that.
    skipped_bytes: u64,
    /// When players were written to last.
    last_round: Option<Instant>,
    /// What had come of it when that was looked at first: headers, as a rule, ...
    bytes_at_first: Option<u64>,
    /// ... and nothing else if this is `None`.
    rates: Option<Box<Rates>>,
}

/// Bits a second of a stream, and what they are worked out from.
#[derive(Clone, Copy, Debug)]
struct Rates {
    in_bps: u64,
    out_bps: u64,
    /// When they were worked out, ...
    at: Instant,
    /// ... and the totals then.
    bytes_in: u64,
    bytes_out: u64,
}

impl Tally {
    pub(in crate::worker) fn new(now: Instant) -> Self {
        Self {
            began: now,
            gaps: 0,
            bytes_out: 0,
            skips: 0,
            skipped_bytes: 0,
            last_round: None,
            bytes_at_first: None,
            rates: None,
        }
    }

    /// When this life of the stream began.
    pub(in crate::worker) fn began(&self) -> Instant {
        self.began
    }

    /// Times its publisher was away and came back.
    pub(in crate::worker) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Its publisher was away and is back.
    pub(in crate::worker) fn count_gap(&mut self) {
        self.gaps += 1;
    }

    /// Bytes sent to its players.
    pub(in crate::worker) fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// So many were sent.
    pub(in crate::worker) fn count_sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// Times players were moved on to a key frame, and bytes that they did not get for that.
    pub(in crate::worker) fn skips(&self) -> (u64, u64) {
        (self.skips, self.skipped_bytes)
    }

    /// Players were moved on.
    pub(in crate::worker) fn count_skips(&mut self, skips: u64, bytes: u64) {
        self.skips += skips;
        self.skipped_bytes += bytes;
    }

    /// When players were written to last.
    pub(in crate::worker) fn last_round(&self) -> Option<Instant> {
        self.last_round
    }

    /// Players are written to.
    pub(in crate::worker) fn note_round(&mut self, now: Instant) {
        self.last_round = Some(now);
    }

    /// Bits a second that come of it and go to its players.
    pub(in crate::worker) fn rates(&self) -> (u64, u64) {
        let rates = self.rates.as_deref();
        rates.map_or((0, 0), |rates| (rates.in_bps, rates.out_bps))
    }

    /// Works out the rates since the last call, with `bytes_in` published so far.
    pub(in crate::worker) fn measure(&mut self, now: Instant, bytes_in: u64) {
        let before = *self.bytes_at_first.get_or_insert(bytes_in);
        if self.rates.is_none() && before == bytes_in && self.bytes_out == 0 {
            return;
        }
        let at = now.checked_sub(limits::HOUSEKEEPING_EVERY);
        let rates = self.rates.get_or_insert_with(|| {
            Box::new(Rates {
                in_bps: 0,
                out_bps: 0,
                at: at.unwrap_or(self.began),
                bytes_in: before,
                bytes_out: 0,
            })
        });
        let elapsed = now.saturating_duration_since(rates.at).as_millis();
        let bps = |bytes: u64| {
            let bits = u128::from(bytes) * 8_000;
            u64::try_from(bits / elapsed.max(1)).unwrap_or(u64::MAX)
        };
        // Totals that fell are those of another life.
        rates.in_bps = bps(bytes_in.saturating_sub(rates.bytes_in));
        rates.out_bps = bps(self.bytes_out.saturating_sub(rates.bytes_out));
        (rates.at, rates.bytes_in, rates.bytes_out) = (now, bytes_in, self.bytes_out);
    }
}
