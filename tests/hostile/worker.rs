//! Cases against a worker whose sockets are simulated, with a healthy publisher and a player of it
//! beside: what the worker holds after each piece, for what reason it closes, that the healthy
//! ones notice nothing, and that nothing is left behind.

use std::time::{Duration, Instant};

use tailwater::config::{Config, Pace, Takeover};
use tailwater::limits;
use tailwater::worker::ids::{ConnId, WorkerId};

use super::bytes::{connect, create_stream, filled, hello, joined, ping, play, publish, video};
use super::case::{Act, Case, End};
use super::closings;
use super::heard::Heard;
use super::session::{self, LAST_PING, check_replies, check_said, small_pieces};
use support::memory::{held, most, watch};
use support::worker::{Ending, Worker};

/// What a read brings at most.
const READ_BYTES: usize = limits::RING_BYTES;

/// The clock goes on in such steps.
const STEP: Duration = Duration::from_millis(250);

/// A connection that has to be closed is, within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// Turns a worker may need for one piece. A message of a byte and its turn are the extreme.
const TURNS_MAX: usize = 100_000;

/// Bytes that are kept of a stream.
const LOG_BYTES: usize = 2 << 20;

/// The relay of these tests; the running one has the same.
fn config() -> Config {
    let seconds = Duration::from_secs;
    Config {
        pace: Pace::Fixed(Duration::ZERO),
        handshake_timeout: seconds(3),
        setup_timeout: seconds(6),
        publish_idle: seconds(6),
        send_timeout: seconds(3),
        play_wait: seconds(1),
        grace: Duration::ZERO,
        drain: seconds(1),
        ping: None,
        takeover: Takeover::Refuse,
        log_bytes: LOG_BYTES,
        lag_max: LOG_BYTES / 2,
        ..Config::default()
    }
}

/// A worker with its healthy clients, and the peer of the case.
struct World {
    worker: Worker,
    begun: Instant,
    publisher: ConnId,
    player: ConnId,
    /// What the healthy player heard.
    healthy: Heard,
    /// How many messages were published for it.
    published: u64,
    peer: Option<ConnId>,
    /// What the peer heard.
    heard: Heard,
}

impl World {
    fn new() -> Result<Self, String> {
        closings::forget();
        let worker = Worker::new(config());
        let mut world = Self {
            begun: worker.now,
            worker,
            publisher: ConnId::NONE,
            // Nobody yet.
            player: ConnId::NONE,
            healthy: Heard::default(),
            published: 0,
            peer: None,
            heard: Heard::default(),
        };
        let start = joined(&[&hello(), &connect(b"live"), &create_stream(2.0)]);
        world.publisher = world.accept()?;
        world.give(world.publisher, &joined(&[&start, &publish(1, b"healthy")]))?;
        world.player = world.accept()?;
        world.give(world.player, &joined(&[&start, &play(1, b"healthy")]))?;
        // What the worker keeps for its next connections is there already.
        world.check_healthy()?;
        Ok(world)
    }

    fn accept(&mut self) -> Result<ConnId, String> {
        self.worker
            .accept()
            .ok_or_else(|| "not accepted".to_owned())
    }

    /// Memory of this world beside the worker's.
    fn own(&mut self) -> i64 {
        let keys = [Some(self.publisher), Some(self.player), self.peer];
        let pipes: usize = keys
            .into_iter()
            .flatten()
            .filter_map(|key| self.worker.core.socket_mut(key).map(|pipe| pipe.memory()))
            .sum();
        i64::try_from(pipes + self.healthy.memory() + self.heard.memory()).unwrap_or(i64::MAX)
    }

    /// Bytes arrive at the socket `key` and are worked on.
    fn give(&mut self, key: ConnId, bytes: &[u8]) -> Result<(), String> {
        if let Some(pipe) = self.worker.core.socket_mut(key) {
            pipe.input.clear();
            pipe.input.extend_from_slice(bytes);
            pipe.at = 0;
            self.worker.core.on_ready(key, true, false);
        }
        self.turn()
    }

    /// Turns until nothing is left to do; then everybody reads what was sent.
    fn turn(&mut self) -> Result<(), String> {
        let mut turns = 0;
        loop {
            self.worker.turn();
            turns += 1;
            if !self.worker.core.has_leftovers() {
                break;
            }
            if turns > TURNS_MAX {
                return Err(format!("still busy after {turns} turns"));
            }
        }
        if let Some(pipe) = self.worker.core.socket_mut(self.player) {
            self.healthy.take(&pipe.output)?;
            pipe.output.clear();
        }
        if let Some(pipe) = self.peer.and_then(|peer| self.worker.core.socket_mut(peer)) {
            self.heard.take(&pipe.output)?;
            pipe.output.clear();
        }
        Ok(())
    }

    /// Time passes. The healthy publisher sends a picture a second.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let until = self.worker.now + time;
        while self.worker.now < until {
            let step = STEP.min(until - self.worker.now);
            self.worker.now += step;
            self.turn()?;
            if (until - self.worker.now).as_millis() % 1_000 < STEP.as_millis() {
                self.check_healthy()?;
            }
        }
        Ok(())
    }

    /// A picture of the healthy publisher reaches its player as it was sent, and nothing else.
    fn check_healthy(&mut self) -> Result<(), String> {
        self.published += 1;
        let number = u32::try_from(self.published).unwrap_or(u32::MAX);
        let first = joined(&[&[0x17, 1, 0, 0, 0], &number.to_be_bytes()]);
        let body = filled(&first, 300);
        self.give(self.publisher, &video(40 * number, &body))?;
        if self.healthy.media != self.published || self.healthy.last_media != body {
            let got = self.healthy.media;
            return Err(format!("the healthy player got {got} messages of {number}"));
        }
        if closings::of_others() {
            return Err("a healthy connection was closed".to_owned());
        }
        Ok(())
    }

    /// Whether the connection of the peer is closed, or about to be.
    fn is_closed(&mut self) -> bool {
        let pipe = self.peer.and_then(|peer| self.worker.core.socket_mut(peer));
        pipe.is_none_or(|pipe| pipe.shut) || closings::is_told()
    }

    /// Messages that were taken of the peer.
    fn taken(&mut self) -> u64 {
        self.worker.core.publish_stats();
        let all = self.worker.shared.stats[WorkerId::FIRST].load().messages_in;
        all - self.published
    }

    fn hang_up(&mut self, ending: Ending) -> Result<(), String> {
        if let Some(peer) = self.peer
            && let Some(pipe) = self.worker.core.socket_mut(peer)
        {
            pipe.ending = ending;
            pipe.deaf = false;
            self.worker.core.on_ready(peer, true, true);
            self.worker.core.on_hangup(peer);
        }
        self.turn()
    }
}

/// What the worker may hold for one connection, its stream included.
fn budget(published: bool, deaf: bool, piece: usize) -> i64 {
    let session = session::budget(published, deaf, piece);
    let rings = 2 * limits::RING_BYTES;
    let stream = if published {
        // A message is taken whole and may have to be put into one piece first.
        let whole = 2 * limits::VIDEO_MESSAGE_BYTES_MAX;
        let headers = limits::HEADERS_MAX * limits::SEQUENCE_HEADER_BYTES_MAX;
        2 * LOG_BYTES + whole + headers + index_bytes()
    } else {
        0
    };
    session + i64::try_from(rings + stream).unwrap_or(i64::MAX)
}

/// What it may hold besides while it works: a message in one piece, what waits for a player to be
/// written, and what these tests hear of it.
fn for_a_moment(published: bool) -> i64 {
    let message = if published {
        2 * limits::DATA_MESSAGE_BYTES_MAX
    } else {
        2 * limits::UNAUTHORISED_MESSAGE_BYTES_MAX
    };
    let waits = 2 * limits::FILTERED_BYTES;
    i64::try_from(message + waits).unwrap_or(i64::MAX)
}

/// What the index of a log takes when its messages are as short as can be, each flushed alone.
fn index_bytes() -> usize {
    // A header of twelve bytes, and a byte; tables grow by doubling.
    LOG_BYTES / 13 * 2 * (size_of::<tailwater::stream::log::Frame>() + 48)
}

/// What a worker keeps for those that come next.
fn pools() -> i64 {
    let blocks = limits::BLOCKS_KEPT * limits::BLOCK_BYTES;
    let rings = limits::RINGS_KEPT * limits::RING_BYTES;
    let scratch = 2 * limits::VIDEO_MESSAGE_BYTES_MAX;
    i64::try_from(blocks + rings + scratch + 64 * 1024).unwrap_or(i64::MAX)
}

/// What came of a case.
struct Outcome {
    /// Why the connection was closed, if it was.
    end: Option<String>,
    taken: u64,
}

/// Plays a case in pieces of at most `step` bytes.
fn play_case(case: &Case, step: usize) -> Result<Outcome, String> {
    let start = held();
    let outcome = {
        let mut world = World::new()?;
        let outcome = live_through(case, step, &mut world)?;
        leave(&world)?;
        outcome
    };
    let left = held() - start - outcome.end.as_ref().map_or(0, |end| end.capacity()) as i64;
    if left != 0 {
        return Err(format!("{left} bytes are left behind by the worker itself"));
    }
    Ok(outcome)
}

/// A case under way.
struct Attempt<'a> {
    world: &'a mut World,
    peer: ConnId,
    /// Bytes a piece has at most.
    step: usize,
    deaf: bool,
    /// Memory that was held before, and by these tests since.
    before: i64,
    kept: i64,
    /// Bytes the peer has sent.
    fed: u64,
    /// It was an accepted publisher at some time.
    published: bool,
}

impl Attempt<'_> {
    fn act(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::Send(bytes) => self.feed(bytes, 1),
            Act::Repeat(bytes, times) => self.feed(bytes, *times as usize),
            Act::Pass(time) => {
                watch();
                self.world.pass(*time)?;
                self.check()
            }
            Act::Finish => self.world.hang_up(Ending::Finish),
            Act::Reset => self.world.hang_up(Ending::Reset),
        }
    }

    fn feed(&mut self, bytes: &[u8], times: usize) -> Result<(), String> {
        // Repeated messages come back to back, as they would over a wire.
        let at_once = bytes.repeat((self.step / bytes.len().max(1)).clamp(1, times.max(1)));
        let kept = self.kept;
        self.kept += i64::try_from(at_once.capacity()).unwrap_or(i64::MAX);
        let mut left = bytes.len() * times;
        while left > 0 {
            let turn = &at_once[..at_once.len().min(left)];
            left -= turn.len();
            for piece in turn.chunks(self.step) {
                if self.world.is_closed() {
                    left = 0;
                    break;
                }
                watch();
                self.world.give(self.peer, piece)?;
                self.fed += piece.len() as u64;
                self.published |= self.world.worker.core.census().0 > 1;
                self.check()?;
            }
        }
        self.kept = kept;
        Ok(())
    }

    /// What the worker holds and has held since it was last watched, and what it says.
    fn check(&mut self) -> Result<(), String> {
        let others = self.before + self.world.own() + self.kept;
        let (now, peak) = (held() - others, most() - others);
        let allowed = budget(self.published, self.deaf, self.step);
        if now > allowed || peak > allowed + for_a_moment(self.published) {
            return Err(format!(
                "holds {now} bytes, {peak} at most, allowed {allowed}"
            ));
        }
        let time = self.world.worker.now - self.world.begun;
        check_replies(self.fed, time, &self.world.heard)
    }
}

fn live_through(case: &Case, step: usize, world: &mut World) -> Result<Outcome, String> {
    let before = held() - world.own();
    let peer = world.accept()?;
    world.peer = Some(peer);
    let opening = case.state.opening("own", "healthy");
    for piece in opening.chunks(READ_BYTES) {
        world.give(peer, piece)?;
    }
    if let Some(pipe) = world.worker.core.socket_mut(peer) {
        pipe.deaf = case.deaf;
    }
    let mut attempt = Attempt {
        published: world.worker.core.census().0 > 1,
        world,
        peer,
        step,
        deaf: case.deaf,
        before,
        kept: i64::try_from(opening.capacity()).unwrap_or(i64::MAX),
        fed: opening.len() as u64,
    };
    for act in &case.acts {
        attempt.act(act)?;
    }
    drop(opening);
    let taken = world.taken();
    end(case, world)?;
    let end = closings::of_peer();
    world.check_healthy()?;
    world.hang_up(Ending::Finish)?;
    world.pass(Duration::from_secs(3))?;
    let left = held() - before - world.own();
    if left > pools() {
        return Err(format!("{left} bytes are left behind, {} allowed", pools()));
    }
    Ok(Outcome { end, taken })
}

/// Sees to it that the connection ends as it should.
fn end(case: &Case, world: &mut World) -> Result<(), String> {
    let mut waited = Duration::ZERO;
    while case.end.must_close() && !world.is_closed() {
        if waited > CLOSED_WITHIN {
            return Err(format!(
                "not closed within {CLOSED_WITHIN:?}: {:?}",
                case.end
            ));
        }
        world.pass(STEP)?;
        waited += STEP;
    }
    if let (true, Some(peer)) = (case.deaf, world.peer)
        && let Some(pipe) = world.worker.core.socket_mut(peer)
    {
        pipe.deaf = false;
        world.worker.core.on_ready(peer, false, true);
        world.turn()?;
    }
    let code = closings::of_peer();
    if world.is_closed() {
        let code = code.as_deref().unwrap_or("a reason that was not logged");
        if !case.end.allows(code) {
            return Err(format!("closed with {code}, allowed: {:?}", case.end));
        }
    } else if let (End::Lives, Some(peer)) = (&case.end, world.peer) {
        world.give(peer, &ping(LAST_PING))?;
        if !world.heard.has_pong(LAST_PING) {
            let why = closings::of_peer();
            return Err(format!(
                "does not answer a ping at the end; closed: {why:?}"
            ));
        }
    }
    check_said(case, &world.heard)
}

/// Nothing of the peer is left.
fn leave(world: &World) -> Result<(), String> {
    let (connections, census) = (world.worker.core.connections(), world.worker.core.census());
    let admission = &world.worker.shared.admission;
    let counted = (admission.connections(), admission.newcomers());
    if (connections, census, counted) != (2, (1, 1), (2, 0)) {
        return Err(format!(
            "left behind: {connections} connections, (publishers, players) {census:?}, \
             (connections, newcomers) {counted:?} counted"
        ));
    }
    Ok(())
}

/// Plays a case as reads bring it and in small pieces.
pub(crate) fn try_case(case: &Case) -> Result<(), String> {
    let at_once = play_case(case, READ_BYTES).map_err(|why| format!("in reads: {why}"))?;
    let step = small_pieces(case.size());
    let in_pieces = play_case(case, step).map_err(|why| format!("in pieces of {step}: {why}"))?;
    for (how, outcome) in [("in reads", &at_once), ("in pieces", &in_pieces)] {
        if case.taken.is_some_and(|taken| taken != outcome.taken) {
            let (taken, wanted) = (outcome.taken, case.taken);
            return Err(format!(
                "{how}: {taken} messages were taken, expected {wanted:?}"
            ));
        }
    }
    let goes_on = at_once.end.is_none() && in_pieces.end.is_none();
    if goes_on && at_once.taken != in_pieces.taken {
        let (one, other) = (at_once.taken, in_pieces.taken);
        return Err(format!(
            "{one} messages taken in reads, {other} in pieces of {step}"
        ));
    }
    Ok(())
}

/// Plays all cases against one worker, again and again: what it keeps for later is kept once.
pub(crate) fn try_again(cases: &[&Case]) -> Result<(), String> {
    let before = held();
    let mut world = World::new()?;
    let mut kept = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        for case in cases {
            closings::forget();
            world.heard = Heard::default();
            live_through(case, READ_BYTES, &mut world)
                .and_then(|_| leave(&world))
                .map_err(|why| format!("{}: {why}", case.name))?;
        }
        world.heard = Heard::default();
        kept.push(held() - before - world.own());
    }
    world.worker.core.publish_stats();
    let stats = world.worker.shared.stats[WorkerId::FIRST].load();
    let (accepted, messages) = (stats.accepted, stats.messages_in);
    println!("{accepted} connections, {messages} messages, kept after each round: {kept:?} bytes");
    let more = kept[ROUNDS - 1] - kept[1];
    if more > KEPT_MORE_MAX {
        return Err(format!(
            "keeps {more} bytes more after having played all again"
        ));
    }
    Ok(())
}

/// Rounds of all cases on one worker. The first finds it empty, the second may need one more of
/// something at one time.
const ROUNDS: usize = 4;

/// Bytes it may keep more after the last round than after the second.
const KEPT_MORE_MAX: i64 = 64 * 1024;
