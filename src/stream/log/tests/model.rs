//! A log against a model that keeps everything: any run of appends, flushes, trims, feeds and
//! reads.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::rtmp::message::MessageStreamId;
use crate::rtmp::reader::{ChunkReader, ReaderLimits};

/// One thing that happens to a log.
#[derive(Clone, Debug)]
enum Op {
    Append {
        message_kind: u8,
        step_ms: u32,
        sync: bool,
        len: usize,
    },
    SetHeaders(u8),
    Flush,
    /// Hindmost reader so many bytes behind the end; None: no reader.
    Trim(Option<u32>),
    ForgetSync,
    /// Another worker begins to follow, anew if it did before.
    Follow,
    /// What is new goes to the follower.
    Feed,
    /// Reads at these fractions of the visible part, in 1/256.
    Read(u8, u8),
}

fn op() -> impl Strategy<Value = Op> {
    let kinds = prop_oneof![Just(kind::AUDIO), Just(kind::VIDEO), Just(kind::DATA)];
    let len = prop_oneof![
        8 => 0usize..3_000,
        // Longer than a block, and than two.
        1 => 60_000usize..70_000,
        1 => 130_000usize..150_000,
    ];
    let back = (1u32..2_000).prop_map(u32::wrapping_neg);
    let step = prop_oneof![16 => 0u32..100, 2 => 0xFF_F000u32..0x100_1000, 1 => back];
    let append = (kinds, step, prop::bool::weighted(0.15), len);
    prop_oneof![
        12 => append.prop_map(|(message_kind, step_ms, sync, len)| Op::Append {
            message_kind, step_ms, sync, len,
        }),
        1 => any::<u8>().prop_map(Op::SetHeaders),
        6 => Just(Op::Flush),
        4 => prop::option::of(0u32..400_000).prop_map(Op::Trim),
        1 => Just(Op::ForgetSync),
        1 => Just(Op::Follow),
        4 => Just(Op::Feed),
        4 => any::<(u8, u8)>().prop_map(|(from, to)| Op::Read(from, to)),
    ]
}

fn log_limits() -> impl Strategy<Value = LogLimits> {
    let chunk_sizes = prop_oneof![Just(128), Just(4_096), Just(65_536)];
    let windows = prop_oneof![Just(0), Just(700)];
    (
        chunk_sizes,
        250_000u64..900_000,
        50_000u64..400_000,
        windows,
    )
        .prop_map(|(chunk_size, bytes, lag_bytes, window_ms)| LogLimits {
            chunk_size,
            bytes,
            lag_bytes: lag_bytes.min(bytes),
            window_ms,
        })
}

/// A message as it was appended.
#[derive(Clone, Debug)]
struct Known {
    start: u64,
    frame: Frame,
    body: Vec<u8>,
}

/// All bytes and all messages ever, and the log that is to agree with them.
struct Model {
    limits: LogLimits,
    log: StreamLog,
    pool: BlockPool,
    wire: Vec<u8>,
    known: Vec<Known>,
    headers: Vec<(u64, Arc<Headers>)>,
    visible: u64,
    /// Index into `known` of the newest sync point that was not given up.
    newest: Option<usize>,
    time: u32,
    follower: Option<Follower>,
}

struct Follower {
    log: StreamLog,
    sent: u64,
    headers_seen: u64,
}

impl Model {
    fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            log: StreamLog::new(limits),
            pool: BlockPool::default(),
            wire: Vec::new(),
            known: Vec::new(),
            headers: Vec::new(),
            visible: 0,
            newest: None,
            // Near the 24-bit boundary, where headers grow by four bytes.
            time: 0xFF_F800,
            follower: None,
        }
    }

    fn apply(&mut self, op: &Op) -> TestCaseResult {
        match *op {
            Op::Append {
                message_kind,
                step_ms,
                sync,
                len,
            } => {
                self.append(message_kind, step_ms, sync, len)?;
            }
            Op::SetHeaders(mark) => {
                let headers = headers(mark);
                self.headers.push((self.wire.len() as u64, headers.clone()));
                self.log.set_headers(headers);
            }
            Op::Flush => {
                prop_assert_eq!(self.log.flush(), self.visible < self.wire.len() as u64);
                self.visible = self.wire.len() as u64;
            }
            Op::Trim(behind) => {
                let end = self.log.end();
                let reader = behind.map_or(u64::MAX, |behind| end.saturating_sub(behind.into()));
                self.trim(reader)?;
            }
            Op::ForgetSync => {
                self.log.forget_sync();
                self.newest = None;
            }
            Op::Follow => self.follow(),
            Op::Feed => self.feed()?,
            Op::Read(from, to) => {
                self.log.flush();
                self.visible = self.wire.len() as u64;
                self.read(from, to)?;
            }
        }
        self.check()
    }

    fn append(&mut self, message_kind: u8, step_ms: u32, sync: bool, len: usize) -> TestCaseResult {
        self.time = self.time.wrapping_add(step_ms);
        let seed = self.known.len();
        let body: Vec<u8> = (0..len)
            .map(|at| (at * 7 + seed).to_le_bytes()[0])
            .collect();
        let payload = Payload::from_slice(&body);
        let header = MessageHeader {
            csid: csid_of(message_kind),
            timestamp: Timestamp(self.time),
            kind: message_kind,
            msid: MessageStreamId(1),
            len,
        };
        let start = self.wire.len() as u64;
        write_message(&mut self.wire, &header, &payload, self.limits.chunk_size);
        let time = Timestamp(self.time);
        let frame = self
            .log
            .append(&mut self.pool, message_kind, time, sync, &payload);
        let expected = Frame {
            end: self.wire.len() as u64,
            timestamp: time,
            kind: message_kind,
            sync,
            ..frame
        };
        prop_assert_eq!(frame, expected);
        if sync {
            self.newest = Some(self.known.len());
        }
        self.known.push(Known { start, frame, body });
        Ok(())
    }

    /// Trims and judges what is left: all that is needed, and within the limits.
    fn trim(&mut self, reader: u64) -> TestCaseResult {
        let end = self.wire.len() as u64;
        let last = self.last().unwrap_or_default();
        self.newest = self.newest.filter(|&newest| !self.is_overlong(newest));
        let before = self.log.base();
        self.log.trim(&mut self.pool, reader, Duration::ZERO);
        let base = self.log.base();
        prop_assert!(base >= before);
        // What readers within the lag, the newest sync point and the seek window need.
        let mut needed = reader
            .max(end.saturating_sub(self.limits.lag_bytes))
            .min(self.visible);
        if let Some(newest) = self.newest {
            needed = needed.min(self.known[newest].start);
        }
        if self.limits.window_ms > 0 {
            // What the earliest seek into it finds, or else the first that any seek finds.
            let begins = Timestamp(last.0.wrapping_sub(self.limits.window_ms));
            let there = self.known.iter().filter(|k| k.start >= before);
            let syncs: Vec<&Known> = there.filter(|known| known.frame.sync).collect();
            let is_before = |of: &&&Known, time: Timestamp| time.since(of.frame.timestamp) >= 0;
            let sync = syncs.iter().rfind(|known| is_before(known, begins));
            let earliest = syncs.iter().rev().copied().reduce(|earliest, known| {
                let time = earliest.frame.timestamp;
                if known.frame.timestamp.since(time) < 0 {
                    known
                } else {
                    earliest
                }
            });
            let sync = sync.copied().or(earliest);
            needed = needed.min(sync.map_or(end, |known| known.start));
        }
        let needed = needed
            .max(end.saturating_sub(self.limits.bytes))
            .min(self.visible);
        prop_assert!(base <= needed.max(before), "{base} but {needed} is needed");
        // And no message more than that.
        let at_base = self.known.iter().find(|known| known.start == base);
        prop_assert!(at_base.is_none_or(|known| known.frame.end > needed));
        Ok(())
    }

    /// The time of the last message, kept or not.
    fn last(&self) -> Option<Timestamp> {
        self.known.last().map(|known| known.frame.timestamp)
    }

    /// Whether the group that begins with message `newest` is beyond the limits.
    fn is_overlong(&self, newest: usize) -> bool {
        let known = &self.known[newest];
        let age = self.last().unwrap_or_default().since(known.frame.timestamp);
        let bytes = self.wire.len() as u64 - known.start;
        bytes > self.limits.bytes || age > 20_000 || self.known.len() - newest > 2_500
    }

    fn follow(&mut self) {
        self.log.flush();
        self.visible = self.wire.len() as u64;
        self.follower = Some(Follower {
            log: StreamLog::from_snapshot(self.limits, self.log.snapshot()),
            sent: self.log.visible(),
            headers_seen: self.log.header_changes(),
        });
    }

    fn feed(&mut self) -> TestCaseResult {
        self.log.flush();
        self.visible = self.wire.len() as u64;
        let Some(mut follower) = self.follower.take() else {
            return Ok(());
        };
        if follower.sent < self.log.base() {
            // Too far behind: what it misses is gone.
            return Ok(());
        }
        for (offset, headers) in self.log.headers_since(follower.headers_seen) {
            follower.log.set_headers_from(offset, headers.clone());
        }
        follower.headers_seen = self.log.header_changes();
        for (bytes, frames) in self.log.pieces_from(follower.sent) {
            let frames: Vec<Frame> = frames.collect();
            follower.log.append_fed(bytes.clone(), &frames);
        }
        follower.sent = self.log.visible();
        self.check_follower(&follower.log)?;
        follower
            .log
            .trim(&mut self.pool, self.visible, Duration::ZERO);
        self.follower = Some(follower);
        Ok(())
    }

    /// The log of another worker has what this one has from its own base on.
    fn check_follower(&self, log: &StreamLog) -> TestCaseResult {
        let base = log.base();
        prop_assert_eq!(offsets(log), (base, self.visible, self.visible));
        prop_assert_eq!(read_from(log, base), self.bytes(base, self.visible));
        let frames = self
            .visible_from(base)
            .map(|known| (known.start, known.frame));
        let frames: Vec<(u64, Frame)> = frames.collect();
        prop_assert_eq!(log.frames_from(base).collect::<Vec<_>>(), frames);
        let newest = self.newest.filter(|&newest| !self.is_overlong(newest));
        if newest.is_some_and(|newest| self.known[newest].start >= base) {
            let (theirs, ours) = (log.newest_sync().unwrap(), self.log.newest_sync().unwrap());
            prop_assert_eq!(
                (theirs.offset, theirs.timestamp),
                (ours.offset, ours.timestamp)
            );
            prop_assert!(same(&theirs.headers, &ours.headers));
        }
        Ok(())
    }

    fn read(&self, from: u8, to: u8) -> TestCaseResult {
        let (base, log) = (self.log.base(), &self.log);
        let place = |part: u8| base + (self.visible - base) * u64::from(part) / 256;
        let (from, to) = (place(from.min(to)), place(from.max(to)));
        let mut pieces = Vec::new();
        log.share(from, to, &mut pieces);
        prop_assert_eq!(pieces.concat(), self.bytes(from, to));
        prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
        prop_assert_eq!(read_from(log, from), self.bytes(from, self.visible));
        // No more slices than there is room for.
        let mut two = [IoSlice::new(&[]); 2];
        let count = log.slices((from, log.visible()), &mut two);
        let some = joined(&two[..count]);
        prop_assert_eq!(&some[..], &self.bytes(from, self.visible)[..some.len()]);
        prop_assert!(count == 2 || some.len() as u64 == self.visible - from);
        let inside = self
            .known
            .iter()
            .find(|k| k.start < from && from <= k.frame.end);
        let end = inside.map_or(from, |known| known.frame.end);
        prop_assert_eq!(log.message_end(from), if from == base { base } else { end });
        let rest = self.visible_from(end);
        let rest: Vec<(u64, Frame)> = rest.map(|known| (known.start, known.frame)).collect();
        prop_assert_eq!(log.frames_from(end).collect::<Vec<_>>(), rest);
        self.read_time(to, from)
    }

    /// Seeks to the time of the message at `offset`, and looks for a start behind `from`.
    fn read_time(&self, offset: u64, from: u64) -> TestCaseResult {
        let Some(aim) = self.visible_from(offset).next() else {
            return Ok(());
        };
        let time = aim.frame.timestamp;
        let base = self.log.base();
        let mut syncs = self.visible_from(base).filter(|known| known.frame.sync);
        let next = syncs.clone().find(|known| known.start >= from);
        let next = next.map(|known| known.start);
        prop_assert_eq!(self.log.sync_from(from).map(|sync| sync.offset), next);
        let before = |known: &&Known| time.since(known.frame.timestamp) >= 0;
        let found = syncs.rfind(before).map(|known| known.start);
        prop_assert_eq!(self.log.sync_before(time).map(|sync| sync.offset), found);
        Ok(())
    }

    /// What holds at any time.
    fn check(&self) -> TestCaseResult {
        let (base, end) = (self.log.base(), self.wire.len() as u64);
        prop_assert_eq!(offsets(&self.log), (base, self.visible, end));
        let is_boundary = base == end || self.known.iter().any(|known| known.start == base);
        prop_assert!(is_boundary, "the base is between messages");
        let newest = self.newest.map(|newest| &self.known[newest]);
        // One that is not flushed is not told, nor is any other meanwhile.
        let newest = newest.filter(|known| known.frame.end <= self.visible);
        let told = self.log.newest_sync();
        prop_assert_eq!(
            told.as_ref().map(|sync| sync.offset),
            newest.map(|known| known.start)
        );
        if let Some(sync) = told {
            let mut before = self.headers.iter().rev();
            let in_force = before.find(|(from, _)| *from <= sync.offset);
            let in_force = in_force
                .map(|(_, headers)| headers.clone())
                .unwrap_or_default();
            prop_assert!(same(&sync.headers, &in_force));
            prop_assert_eq!(sync.timestamp, newest.unwrap().frame.timestamp);
        }
        prop_assert_eq!(self.log.last_timestamp(), self.last());
        // At most the segment at the base is held beside what is kept.
        prop_assert!(self.log.held_bytes() - (end - base) < limits::BLOCK_BYTES as u64);
        Ok(())
    }

    fn bytes(&self, from: u64, to: u64) -> Vec<u8> {
        self.wire[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].to_vec()
    }

    fn visible_from(&self, offset: u64) -> impl DoubleEndedIterator<Item = &Known> + Clone {
        let visible = self.visible;
        let is_there = move |known: &&Known| known.start >= offset && known.frame.end <= visible;
        self.known.iter().filter(is_there)
    }

    /// A player that starts at any sync point gets its headers, then the messages as they
    /// were.
    fn play_from_every_sync_point(&mut self) -> TestCaseResult {
        self.log.flush();
        self.visible = self.wire.len() as u64;
        let base = self.log.base();
        let starts: Vec<&Known> = self.visible_from(base).filter(|k| k.frame.sync).collect();
        for start in starts {
            let sync = self.log.sync_from(start.start).unwrap();
            let mut wire = Vec::new();
            sync.headers.write(
                &mut wire,
                MSID,
                HeaderTimes::all(sync.timestamp),
                self.limits.chunk_size,
            );
            wire.extend(read_from(&self.log, sync.offset));
            let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
            reader.set_chunk_size(self.limits.chunk_size);
            let mut at = 0;
            for _ in 0..sync.headers.len() {
                let header = reader.next(&wire, &mut at).unwrap().unwrap();
                prop_assert_eq!(header.header.timestamp, start.frame.timestamp);
                prop_assert_eq!(header.payload.len(), 5);
            }
            for known in self.visible_from(start.start) {
                let message = reader.next(&wire, &mut at).unwrap().unwrap();
                prop_assert_eq!(message.header.timestamp, known.frame.timestamp);
                prop_assert_eq!(message.header.kind, known.frame.kind);
                prop_assert_eq!(message.header.msid, MSID);
                prop_assert_eq!(message.payload.to_vec(), &known.body[..]);
            }
            prop_assert!(reader.next(&wire, &mut at).unwrap().is_none());
            prop_assert_eq!(at, wire.len());
        }
        Ok(())
    }
}

/// Whether two sets are written alike.
fn same(one: &Headers, other: &Headers) -> bool {
    let written = |headers: &Headers| {
        let mut wire = Vec::new();
        headers.write(&mut wire, MSID, HeaderTimes::all(Timestamp(0)), 128);
        wire
    };
    written(one) == written(other)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn a_log_agrees_with_a_model_that_keeps_everything(
        limits in log_limits(),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut model = Model::new(limits);
        for op in &ops {
            model.apply(op)?;
        }
        model.play_from_every_sync_point()?;
    }
}
