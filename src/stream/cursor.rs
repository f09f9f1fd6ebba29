//! Where one player stands in a log. A cursor is all a player costs: no queue, no copy.
//!
//! ```text
//!       sync point found, or none in sight       too far behind, or trimmed away
//!   Await ---------------------> Live ------------------------------------------+
//!     ^                          |  ^                                           |
//!     |                    pause |  +--- newest sync point, headers first ------+
//!     | resume, place lost       v  | resume, place kept
//!     +------------------------ Paused
//! ```
//!
//! A player for which there is no sync point in the log starts at the live edge, with headers and
//! sound, and with pictures from their next sync point on; so does one that starts at sound, which
//! is a sync point while no pictures come.
//!
//! A cursor is always at a message boundary; a message cut by a full socket is finished from
//! the connection's own half-sent pieces before the cursor is asked again.

use super::log::{StreamLog, SyncPoint};
use crate::limits;
use crate::rtmp::message::Timestamp;

/// See the module text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    offset: u64,
    state: State,
    /// How far back a seek went, in bytes, as far as that is not caught up with: it may be so
    /// much further behind than others.
    sought: u64,
    is_paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for a sync point at or after `offset`. With a time it waits for the next to come,
    /// from that time on.
    Await(Option<Timestamp>),
    /// Reads on from `offset`.
    Live,
    /// Has read up to `offset`, from where it cannot go on: waits for a sync point behind it.
    Lost,
}

/// What a cursor can do now.
#[derive(Clone, Debug)]
pub enum Place {
    /// Nothing: paused, or no sync point yet.
    Wait,
    /// Read on from the offset.
    Follow(u64),
    /// Read from this sync point; its headers go first. `skipped` bytes were left out.
    Start {
        /// Where to go on.
        sync: SyncPoint,
        /// Bytes of the log that this player will never see; 0 for one that has just come.
        skipped: u64,
    },
}

/// Where a new player may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the newest sync point there is: a picture at once, the age of the group behind live.
    NewestSync,
    /// At the next sync point to come: no delay behind live, a wait for the picture.
    NextSync,
}

impl Cursor {
    /// A cursor for a player that joins `log`.
    pub fn new(log: &StreamLog, start: StartAt) -> Self {
        let (offset, since) = match start {
            StartAt::NewestSync => (0, None),
            StartAt::NextSync => (log.end(), log.last_timestamp()),
        };
        Self {
            offset,
            state: State::Await(since),
            sought: 0,
            is_paused: false,
        }
    }

    /// The cursor of a player that reads on from `offset`, a message boundary.
    pub fn at(offset: u64) -> Self {
        Self {
            offset,
            state: State::Live,
            sought: 0,
            is_paused: false,
        }
    }

    /// First byte of the log this cursor still needs; None when it needs none.
    pub fn needs_from(&self) -> Option<u64> {
        (self.state == State::Live && !self.is_paused).then_some(self.offset)
    }

    /// Up to where the player has read; None before it has begun.
    pub fn position(&self) -> Option<u64> {
        matches!(self.state, State::Live | State::Lost).then_some(self.offset)
    }

    /// Finds out where to read. A cursor more than `lag_bytes` behind jumps to the newest sync
    /// point, if there is one ahead of it.
    pub fn settle(&mut self, log: &StreamLog, lag_bytes: u64) -> Place {
        if self.is_paused {
            return Place::Wait;
        }
        match self.state {
            State::Await(since) => return self.await_start(log, since),
            State::Lost => return self.await_start(log, None),
            State::Live => {}
        }
        let lost = self.offset < log.base();
        let behind = log.visible().saturating_sub(self.offset);
        self.sought = self.sought.min(behind);
        if !lost && behind <= lag_bytes.saturating_add(self.sought) {
            return Place::Follow(self.offset);
        }
        match log.newest_sync() {
            Some(sync) if sync.offset > self.offset => {
                let skipped = sync.offset - self.offset;
                self.start_at(sync, skipped)
            }
            _ if lost => {
                let stood = self.offset;
                self.state = State::Lost;
                let mut place = self.await_start(log, None);
                if let Place::Start { sync, skipped, .. } = &mut place {
                    *skipped = sync.offset.saturating_sub(stood);
                }
                place
            }
            _ => Place::Follow(self.offset),
        }
    }

    fn await_start(&mut self, log: &StreamLog, since: Option<Timestamp>) -> Place {
        let newest = log.newest_sync();
        let may_wait = newest.is_some();
        if let Some(sync) = newest.filter(|sync| sync.offset >= self.offset) {
            return self.start_at(sync, 0);
        }
        // Key frames come; for one that is far off a player does not go without sound.
        let waited = since.zip(log.last_timestamp());
        let waited = waited.map_or(0, |(since, last)| last.since(since));
        let is_long =
            u128::try_from(waited).is_ok_and(|waited| waited >= limits::KEY_FRAME_WAIT.as_millis());
        match log.live_edge() {
            Some(edge) if !may_wait || is_long => {
                self.offset = edge.offset;
                self.state = State::Live;
                self.sought = 0;
                Place::Start {
                    sync: edge,
                    skipped: 0,
                }
            }
            _ => Place::Wait,
        }
    }

    /// The bytes up to `offset`, a message boundary, are on their way.
    pub fn advance_to(&mut self, offset: u64) {
        debug_assert!(self.state == State::Live, "only a live cursor reads");
        debug_assert!(offset >= self.offset, "cursors never go back by themselves");
        self.offset = offset;
    }

    /// A cursor for a player that is paused before it begins.
    pub fn paused(log: &StreamLog) -> Self {
        Self {
            is_paused: true,
            ..Self::new(log, StartAt::NewestSync)
        }
    }

    /// Stops reading.
    pub fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Reads on where it stood, if the log still has that and it is not too far behind; else from
    /// the next start.
    pub fn resume(&mut self, log: &StreamLog, lag_bytes: u64) {
        if !std::mem::take(&mut self.is_paused) || self.state != State::Live {
            return;
        }
        let is_lost = self.offset < log.base();
        let is_behind = log.visible().saturating_sub(self.offset) > lag_bytes;
        let sync = log.newest_sync();
        let is_ahead = sync.is_some_and(|sync| sync.offset > self.offset);
        if is_lost || is_behind && is_ahead {
            // A player that was paused is not one that is too slow: it skips nothing.
            self.state = State::Lost;
        }
    }

    /// Whether the player is paused.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Goes to the sync point at or before `time`; None when the log does not reach back there.
    /// A paused cursor reads on.
    pub fn seek(&mut self, log: &StreamLog, time: Timestamp) -> Option<SyncPoint> {
        let sync = log.sync_before(time)?;
        self.offset = sync.offset;
        self.state = State::Live;
        self.is_paused = false;
        self.sought = log.visible().saturating_sub(sync.offset);
        Some(sync)
    }

    fn start_at(&mut self, sync: SyncPoint, skipped: u64) -> Place {
        self.offset = sync.offset;
        self.state = State::Live;
        self.sought = 0;
        Place::Start { sync, skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    // A length of time; there is no clock here.
    use core::time::Duration;

    use crate::rtmp::media::TrackSet;
    use crate::rtmp::message::{Payload, kind};
    use crate::stream::block::BlockPool;
    use crate::stream::headers::{HeaderKind, Headers};
    use crate::stream::log::LogLimits;
    use proptest::prelude::*;
    use proptest::test_runner::TestCaseResult;

    const LAG_BYTES: u64 = 1_000;

    /// A log to fill, 100 bytes a message.
    struct Live {
        log: StreamLog,
        pool: BlockPool,
    }

    impl Live {
        fn new() -> Self {
            let limits = LogLimits {
                chunk_size: 4_096,
                bytes: 100_000,
                lag_bytes: LAG_BYTES,
                window_ms: 0,
            };
            Self {
                log: StreamLog::new(limits),
                pool: BlockPool::default(),
            }
        }

        /// One message, visible at once; where it begins.
        fn put(&mut self, sync: bool) -> u64 {
            let start = self.append(sync);
            self.log.flush();
            start
        }

        fn append(&mut self, sync: bool) -> u64 {
            let start = self.log.end();
            let time = Timestamp(u32::try_from(start).unwrap());
            let body = Payload::from_slice(&[0x27; 88]);
            self.log
                .append(&mut self.pool, kind::VIDEO, time, sync, &body);
            assert_eq!(self.log.end(), start + 100);
            start
        }

        /// A key frame and nine messages after it; where it begins.
        fn group(&mut self) -> u64 {
            let start = self.put(true);
            (0..9).for_each(|_| _ = self.put(false));
            start
        }
    }

    /// What a cursor can do, in words.
    fn told(place: &Place) -> String {
        match place {
            Place::Wait => "wait".to_owned(),
            Place::Follow(offset) => format!("follow {offset}"),
            Place::Start { sync, .. } if sync.without_pictures => {
                format!("sound {}", sync.offset)
            }
            Place::Start { sync, skipped } => {
                format!("start {} skipped {skipped}", sync.offset)
            }
        }
    }

    #[track_caller]
    fn check(cursor: &mut Cursor, live: &Live, expected: &str) {
        assert_eq!(told(&cursor.settle(&live.log, LAG_BYTES)), expected);
    }

    #[test]
    fn regression_lost_cursor_knows_its_position() {
        let mut live = Live::new();
        live.group();
        let mut cursor = Cursor::new(&live.log, StartAt::NewestSync);
        assert_eq!(cursor.position(), None);
        check(&mut cursor, &live, "start 0 skipped 0");
        cursor.advance_to(500);
        cursor.pause();
        (0..3).for_each(|_| _ = live.group());
        cursor.resume(&live.log, LAG_BYTES);
        assert_eq!(cursor.position(), Some(500));
        check(&mut cursor, &live, "start 3000 skipped 0");
    }

    #[test]
    fn a_player_of_a_live_stream_starts_at_the_newest_sync_point_and_follows() {
        let mut live = Live::new();
        live.group();
        let start = live.group();
        let mut cursor = Cursor::new(&live.log, StartAt::NewestSync);
        assert_eq!(cursor.needs_from(), None);
        check(&mut cursor, &live, &format!("start {start} skipped 0"));
        assert_eq!(cursor.needs_from(), Some(start));
        // Asked again before it has read, it goes on from there without headers.
        check(&mut cursor, &live, &format!("follow {start}"));
        cursor.advance_to(start + 500);
        check(&mut cursor, &live, &format!("follow {}", start + 500));
        // At the end there is nothing to read, and nothing changes.
        cursor.advance_to(live.log.visible());
        check(
            &mut cursor,
            &live,
            &format!("follow {}", live.log.visible()),
        );
        let next = live.put(true);
        check(&mut cursor, &live, &format!("follow {next}"));
    }

    #[test]
    fn a_player_that_starts_gets_the_headers_in_force_there() {
        let mut live = Live::new();
        let headers = |body: &[u8]| {
            let (kind, body) = (HeaderKind::Metadata, Payload::from_slice(body));
            let set = Headers::default().with(kind, 18, TrackSet::DEFAULT, &body);
            std::sync::Arc::new(set.unwrap())
        };
        live.log.set_headers(headers(b"old"));
        live.group();
        let new = headers(b"new");
        live.log.set_headers(new.clone());
        live.group();
        let mut cursor = Cursor::new(&live.log, StartAt::NewestSync);
        let Place::Start { sync, .. } = cursor.settle(&live.log, LAG_BYTES) else {
            panic!("there is a sync point");
        };
        assert!(std::sync::Arc::ptr_eq(&sync.headers, &new));
    }

    #[test]
    fn a_player_waits_while_there_is_no_publisher() {
        let mut live = Live::new();
        let mut cursor = Cursor::new(&live.log, StartAt::NewestSync);
        check(&mut cursor, &live, "wait");
        let key = live.put(true);
        check(&mut cursor, &live, &format!("start {key} skipped 0"));
        // The one there was is away.
        let mut late = Cursor::new(&live.log, StartAt::NewestSync);
        live.log.close_starts();
        check(&mut late, &live, "wait");
        let edge = live.put(false) + 100;
        check(&mut late, &live, &format!("sound {edge}"));
    }

    #[test]
    fn regression_a_player_starts_without_a_sync_point() {
        for start in [StartAt::NewestSync, StartAt::NextSync] {
            let mut live = Live::new();
            live.group();
            live.log.forget_sync();
            let mut cursor = Cursor::new(&live.log, start);
            let edge = live.log.visible();
            check(&mut cursor, &live, &format!("sound {edge}"));
            check(&mut cursor, &live, &format!("follow {edge}"));
        }
    }

    #[test]
    fn regression_the_wait_for_the_next_sync_point_ends() {
        let mut live = Live::new();
        live.group();
        let mut cursor = Cursor::new(&live.log, StartAt::NextSync);
        // Time goes by the offset here.
        let wait = u64::try_from(limits::KEY_FRAME_WAIT.as_millis()).unwrap();
        let end = live.log.end() - 100 + wait;
        while live.log.end() < end {
            check(&mut cursor, &live, "wait");
            live.put(false);
        }
        check(&mut cursor, &live, "wait");
        live.put(false);
        check(&mut cursor, &live, &format!("sound {}", live.log.visible()));
    }

    #[test]
    fn a_player_that_wants_no_delay_waits_for_the_next_sync_point() {
        let mut live = Live::new();
        live.group();
        // What is not visible yet counts as there.
        live.append(true);
        let mut cursor = Cursor::new(&live.log, StartAt::NextSync);
        live.log.flush();
        check(&mut cursor, &live, "wait");
        live.put(false);
        check(&mut cursor, &live, "wait");
        let key = live.put(true);
        check(&mut cursor, &live, &format!("start {key} skipped 0"));
        // The very next message will do.
        let mut cursor = Cursor::new(&live.log, StartAt::NextSync);
        check(&mut cursor, &live, "wait");
        let key = live.put(true);
        check(&mut cursor, &live, &format!("start {key} skipped 0"));
    }

    #[test]
    fn a_slow_player_skips_to_the_newest_sync_point() {
        let mut live = Live::new();
        let first = live.group();
        let mut cursor = Cursor::at(first + 300);
        live.group();
        let newest = live.group();
        // 2700 bytes behind, 1000 are allowed.
        check(
            &mut cursor,
            &live,
            &format!("start {newest} skipped {}", newest - first - 300),
        );
        check(&mut cursor, &live, &format!("follow {newest}"));
    }

    #[test]
    fn the_lag_allowed_is_allowed_to_the_byte() {
        let mut live = Live::new();
        (0..5).for_each(|_| _ = live.put(false));
        let key = live.put(true);
        (0..5).for_each(|_| _ = live.put(false));
        assert_eq!(live.log.visible() - LAG_BYTES, 100);
        check(&mut Cursor::at(100), &live, "follow 100");
        live.put(false);
        check(
            &mut Cursor::at(100),
            &live,
            &format!("start {key} skipped {}", key - 100),
        );
    }

    #[test]
    fn a_slow_player_without_a_sync_point_ahead_goes_on_where_it_is() {
        let mut live = Live::new();
        let key = live.group();
        (0..30).for_each(|_| _ = live.put(false));
        for offset in [key, key + 100, key + 2_000] {
            check(&mut Cursor::at(offset), &live, &format!("follow {offset}"));
        }
        live.log.forget_sync();
        check(&mut Cursor::at(key), &live, &format!("follow {key}"));
    }

    #[test]
    fn a_player_that_lost_its_place_goes_on_at_a_sync_point() {
        let mut live = Live::new();
        (0..3).for_each(|_| _ = live.group());
        let newest = live.group();
        live.log.trim(&mut live.pool, u64::MAX, Duration::ZERO);
        assert_eq!(live.log.base(), newest);
        let mut cursor = Cursor::at(700);
        let skip = format!("start {newest} skipped {}", newest - 700);
        check(&mut cursor, &live, &skip);
        // Without one it is not served pictures that it cannot decode.
        let mut cursor = Cursor::at(700);
        live.log.forget_sync();
        live.log.trim(&mut live.pool, u64::MAX, Duration::ZERO);
        check(&mut cursor, &live, &format!("sound {}", live.log.visible()));
    }

    #[test]
    fn regression_a_paused_player_goes_on_where_it_stood() {
        let mut live = Live::new();
        let first = live.group();
        let mut cursor = Cursor::at(first + 400);
        cursor.pause();
        assert!(cursor.is_paused());
        assert_eq!(cursor.needs_from(), None);
        live.put(true);
        check(&mut cursor, &live, "wait");
        cursor.resume(&live.log, LAG_BYTES);
        assert!(!cursor.is_paused());
        check(&mut cursor, &live, &format!("follow {}", first + 400));
        // One that was not paused stays where it is.
        cursor.resume(&live.log, LAG_BYTES);
        assert_eq!(cursor.needs_from(), Some(first + 400));
        // Without a sync point ahead the log's own size is what counts.
        let mut live = Live::new();
        let first = live.group();
        let mut cursor = Cursor::at(first + 400);
        cursor.pause();
        (0..30).for_each(|_| _ = live.put(false));
        cursor.resume(&live.log, LAG_BYTES);
        check(&mut cursor, &live, &format!("follow {}", first + 400));
    }

    #[test]
    fn a_player_paused_for_long_goes_on_ahead() {
        let mut live = Live::new();
        let first = live.group();
        let mut cursor = Cursor::at(first + 400);
        cursor.pause();
        let newest = live.group();
        // Too far behind; and it has not skipped, as one that is too slow.
        cursor.resume(&live.log, LAG_BYTES);
        check(&mut cursor, &live, &format!("start {newest} skipped 0"));
        // The log has lost its place, and has no other start.
        let mut cursor = Cursor::at(first + 400);
        cursor.pause();
        live.log.forget_sync();
        live.log.trim(&mut live.pool, u64::MAX, Duration::ZERO);
        cursor.resume(&live.log, LAG_BYTES);
        check(&mut cursor, &live, &format!("sound {}", live.log.visible()));
        // One that had not begun still waits.
        let mut cursor = Cursor::new(&live.log, StartAt::NewestSync);
        cursor.pause();
        live.log.close_starts();
        cursor.resume(&live.log, LAG_BYTES);
        check(&mut cursor, &live, "wait");
    }

    #[test]
    fn regression_a_seek_beyond_the_lag_is_not_undone() {
        let mut live = Live::new();
        let starts: Vec<u64> = (0..4).map(|_| live.group()).collect();
        let mut cursor = Cursor::at(live.log.visible());
        let time = Timestamp(u32::try_from(starts[0]).unwrap());
        assert!(cursor.seek(&live.log, time).is_some());
        check(&mut cursor, &live, &format!("follow {}", starts[0]));
        // It may fall further behind by as much as others may be, and no more.
        let newest = live.group();
        check(&mut cursor, &live, &format!("follow {}", starts[0]));
        let last = live.put(false);
        let skip = format!("start {newest} skipped {}", newest - starts[0]);
        check(&mut cursor, &live, &skip);
        // What is caught up with does not count any more.
        let mut cursor = Cursor::at(last);
        assert!(cursor.seek(&live.log, time).is_some());
        cursor.advance_to(last);
        check(&mut cursor, &live, &format!("follow {last}"));
        let newest = live.group();
        live.put(false);
        let skip = format!("start {newest} skipped {}", newest - last);
        check(&mut cursor, &live, &skip);
    }

    #[test]
    fn a_player_that_seeks_reads_on_from_the_sync_point_before() {
        let mut live = Live::new();
        let starts = [live.group(), live.group(), live.group()];
        let at = |offset: u64| Timestamp(u32::try_from(offset).unwrap());
        let mut cursor = Cursor::at(live.log.visible());
        let sync = cursor.seek(&live.log, at(starts[1] + 950)).unwrap();
        assert_eq!(sync.offset, starts[1]);
        let lag = live.log.visible();
        assert_eq!(
            told(&cursor.settle(&live.log, lag)),
            format!("follow {}", starts[1])
        );
        // A paused one as well; and it is not paused any more.
        cursor.pause();
        assert_eq!(
            cursor.seek(&live.log, at(starts[0])).unwrap().offset,
            starts[0]
        );
        assert!(!cursor.is_paused());
        // Further back than the log reaches nothing changes, paused or not.
        live.log.trim(&mut live.pool, starts[1], Duration::ZERO);
        let mut cursor = Cursor::at(starts[2] + 100);
        assert!(cursor.seek(&live.log, at(starts[0])).is_none());
        check(&mut cursor, &live, &format!("follow {}", starts[2] + 100));
        cursor.pause();
        assert!(cursor.seek(&live.log, at(starts[0])).is_none());
        assert!(cursor.is_paused());
    }

    /// One thing that happens between a log and a player.
    #[derive(Clone, Copy, Debug)]
    enum Op {
        Put(bool),
        Flush,
        Trim,
        Forget,
        /// Reads so many messages.
        Read(usize),
        Pause,
        Resume,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            10 => prop::bool::weighted(0.1).prop_map(Op::Put),
            4 => Just(Op::Flush),
            2 => Just(Op::Trim),
            1 => Just(Op::Forget),
            4 => (0usize..12).prop_map(Op::Read),
            1 => Just(Op::Pause),
            1 => Just(Op::Resume),
        ]
    }

    /// Settles and reads up to `count` messages.
    fn read(cursor: &mut Cursor, log: &StreamLog, count: usize) -> TestCaseResult {
        let stands = cursor.needs_from();
        let offset = match cursor.settle(log, LAG_BYTES) {
            Place::Wait => {
                prop_assert_eq!(cursor.needs_from(), None);
                return Ok(());
            }
            Place::Follow(offset) => {
                prop_assert_eq!(Some(offset), stands);
                offset
            }
            Place::Start { sync, skipped } => {
                if sync.without_pictures {
                    prop_assert_eq!(sync.offset, log.visible());
                } else {
                    prop_assert_eq!(log.sync_from(sync.offset).unwrap().offset, sync.offset);
                }
                prop_assert!(skipped == 0 || stands.unwrap() + skipped == sync.offset);
                // A player that reads never gets the same bytes twice.
                prop_assert!(stands.is_none_or(|stands| sync.offset > stands));
                sync.offset
            }
        };
        prop_assert_eq!(cursor.needs_from(), Some(offset));
        prop_assert!(log.base() <= offset && offset <= log.visible());
        prop_assert_eq!(log.message_end(offset), offset);
        if let Some((_, frame)) = log.frames_from(offset).take(count).last() {
            cursor.advance_to(frame.end);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]
        #[test]
        fn a_cursor_is_at_a_message_boundary_inside_the_log_whatever_happens(
            ops in proptest::collection::vec(op(), 1..200),
            next_sync in any::<bool>(),
        ) {
            let mut live = Live::new();
            let start = if next_sync { StartAt::NextSync } else { StartAt::NewestSync };
            let mut cursor = Cursor::new(&live.log, start);
            for op in ops {
                match op {
                    Op::Put(sync) => _ = live.append(sync),
                    Op::Flush => _ = live.log.flush(),
                    Op::Trim => {
                        let needs = cursor.needs_from().unwrap_or(u64::MAX);
                        live.log.trim(&mut live.pool, needs, Duration::ZERO);
                    }
                    Op::Forget => live.log.forget_sync(),
                    Op::Read(count) => read(&mut cursor, &live.log, count)?,
                    Op::Pause => cursor.pause(),
                    Op::Resume => cursor.resume(&live.log, LAG_BYTES),
                }
            }
        }
    }
}
