//! Fuzz entry of a stream: takes any bytes as a list of messages of publishers, who come one after
//! the other, and panics where something is wrong with what players get of them. The target in
//! fuzz/ and the tests drive it; the relay does not.
//!
//! ```text
//!   step: what comes | how its time goes on | how much time passes | what happens before it
//! ```
//!
//! Four bits each, see script.rs. Asserted: the time of a track steps back no further than its
//! publisher's does, a returned publisher begins where the one before has ended, no picture comes
//! before a key frame that it needs, a player is given the headers in force and none of another
//! publisher, and the log in FLV has the same messages.

mod judge;
mod script;

use core::time::Duration;

use self::judge::{Judge, Player};
use self::script::{Before, Publisher, Step};
use tailwater::rtmp::message::{Message, Payload, kind};
use tailwater::stream::block::BlockPool;
use tailwater::stream::cursor::StartAt;
use tailwater::stream::flv::{self, FlvLogs, Framing};
use tailwater::stream::intake::Intake;
use tailwater::stream::log::{LogLimits, StreamLog};

/// Small, so that inputs of a few hundred messages come to the limits.
const LIMITS: LogLimits = LogLimits {
    chunk_size: 64,
    bytes: 4_096,
    lag_bytes: 2_048,
    window_ms: 0,
};

/// Steps that are taken at most: a longer input adds time and nothing else.
const STEPS_MAX: usize = 2_000;

/// Players there are at most.
const PLAYERS_MAX: usize = 4;

/// What an input came to, so that a test can see that its seeds get anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Messages that went to players.
    pub messages: usize,
    /// Messages of publishers that went to nobody.
    pub held: usize,
    /// Publishers that came after another.
    pub returns: usize,
    /// Starts and jumps of players.
    pub starts: usize,
    /// Those of them without pictures.
    pub live_edges: usize,
    /// Messages that were compared with FLV.
    pub tags: usize,
}

/// See the module text.
///
/// # Panics
/// Something is wrong.
pub fn exercise(data: &[u8]) -> Reached {
    let mut world = World::new();
    for pair in data.chunks_exact(2).take(STEPS_MAX) {
        world.step(Step::of([pair[0], pair[1]]));
    }
    world.reached
}

struct World {
    intake: Intake,
    log: StreamLog,
    flv: FlvLogs,
    pool: BlockPool,
    now: Duration,
    publisher: Publisher,
    judge: Judge,
    players: Vec<Player>,
    steps: usize,
    /// How far the log in FLV was compared.
    compared: (u64, u64),
    reached: Reached,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            intake: Intake::default(),
            log: StreamLog::new(LIMITS),
            flv: FlvLogs::default(),
            pool: BlockPool::default(),
            now: Duration::from_secs(1),
            publisher: Publisher::new(0),
            judge: Judge::default(),
            players: Vec::new(),
            steps: 0,
            compared: (0, 0),
            reached: Reached::default(),
        };
        world.begin_publish(0);
        world.join(StartAt::NewestSync);
        world
    }

    fn step(&mut self, step: Step) {
        self.now += step.passes;
        self.intake.set_now(self.now);
        match step.before {
            Before::Nothing => {}
            Before::Returns { away_ms } => {
                self.publisher = Publisher::new(self.publisher.number.wrapping_add(1));
                self.reached.returns += 1;
                self.begin_publish(away_ms);
            }
            Before::Leaves => self.log.close_starts(),
            Before::Joins(start) => self.join(start),
            Before::Trims => self.trim(),
            Before::Sheds => {
                let readers = self.readers_min();
                self.log.shed(&mut self.pool, readers);
            }
        }
        self.publish(step);
        self.compare_flv();
        self.steps += 1;
        let Self {
            log,
            judge,
            players,
            reached,
            steps,
            ..
        } = self;
        // All but the first are slow, each more than the one before.
        for (at, player) in players.iter_mut().enumerate() {
            if steps.is_multiple_of(1 + 15 * at) {
                player.read(log, judge, reached);
            }
        }
        assert!(self.log.is_sound());
        let kinds = flv::kinds_in(&self.log);
        assert!(!kinds.is_certain || kinds.audio || kinds.video);
        let (has_audio, has_video) = flv::kinds_likely_in(&self.log);
        // Neither is promised where data has come, and no sound, no pictures and no header of any.
        let has_headers = self.log.headers_now().is_some_and(|its| !its.is_empty());
        let mut frames = self.log.frames_from(self.log.base());
        let has_media = frames.any(|(_, frame)| matches!(frame.kind, kind::AUDIO | kind::VIDEO));
        let is_data_alone = !has_headers && !has_media && self.log.live_edge().is_some();
        assert!(has_audio || has_video || is_data_alone);
    }

    fn begin_publish(&mut self, away_ms: u32) {
        self.judge.begin(self.log.latest_timestamp());
        self.intake.begin_publish(&mut self.log, away_ms);
    }

    fn join(&mut self, start: StartAt) {
        self.players.truncate(PLAYERS_MAX - 1);
        self.players.push(Player::new(&self.log, start));
    }

    fn readers_min(&self) -> u64 {
        let needs = self.players.iter().filter_map(Player::needs_from);
        needs.min().unwrap_or(u64::MAX)
    }

    fn trim(&mut self) {
        let readers = self.readers_min();
        self.log.trim(&mut self.pool, readers, self.now);
        self.flv.trim(&mut self.pool, self.now, |_| Some(u64::MAX));
    }

    fn publish(&mut self, step: Step) {
        let (header, body) = self.publisher.message(step);
        let payload = Payload::from_slice(&body);
        let message = Message { header, payload };
        let before = self.log.end();
        let mut scratch = Vec::new();
        self.intake
            .take(&mut self.log, &mut self.pool, &mut scratch, &message);
        self.log.flush();
        self.judge.count_unkept(self.intake.take_unkept());
        let mut frames = self.log.frames_from(before);
        let frame = frames.next();
        assert!(frames.next().is_none(), "one message comes to one at most");
        match frame {
            Some((start, frame)) => {
                assert_eq!(start, before);
                self.reached.messages += 1;
                self.judge
                    .appended((start, frame), &header, &body, &self.publisher, self.now);
            }
            None => {
                self.reached.held += 1;
                self.judge.held(&header, &body, self.now);
            }
        }
    }

    /// The log in FLV has what the other has, in the same order.
    fn compare_flv(&mut self) {
        let is_new = self.flv.of(Framing::Plain).is_none();
        self.flv
            .open(Framing::Plain, &self.log, LIMITS, &mut self.pool);
        let Some(flv) = self.flv.of(Framing::Plain) else {
            return;
        };
        let (mut own, mut its) = self.compared;
        let is_lost = own < self.log.base() || its < flv.base();
        if !is_new && !is_lost {
            let frames = self.log.frames_from(own).zip(flv.frames_from(its));
            for ((start, frame), (tag_start, tag)) in frames {
                let known = (frame.kind, frame.timestamp, frame.sync);
                assert_eq!(known, (tag.kind, tag.timestamp, tag.sync));
                judge::check_tag(flv, (tag_start, tag), self.judge.body_at(start));
                self.reached.tags += 1;
                (own, its) = (frame.end, tag.end);
            }
            assert_eq!((own, its), (self.log.visible(), flv.visible()));
        }
        self.compared = (self.log.visible(), flv.visible());
    }
}

/// Whether a message is of sound or pictures.
fn is_media(message_kind: u8) -> bool {
    matches!(message_kind, kind::AUDIO | kind::VIDEO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_stream_gets_all_the_way() {
        // Headers, a key frame, sound and pictures 20 ms apart; another publisher after that.
        let group = [0x02, 0x12, 0x06, 0x13, 0x16, 0x12, 0x13, 0x12, 0x16, 0x12];
        let headers = [0x00, 0x02, 0x05, 0x02, 0x0C, 0x02];
        let again = [0x00, 0xA2];
        let data = [&headers[..], &group, &group, &again, &group].concat();
        let reached = exercise(&data);
        assert_eq!((reached.returns, reached.held), (1, 0), "{reached:?}");
        assert_eq!(reached.messages, data.len() / 2);
        assert!(reached.starts >= 1 && reached.tags >= 10, "{reached:?}");
    }
}
