//! Those who must not notice: a publisher in real time and players that check every message and
//! measure how long it took, beside whatever a test does.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tailwater::rtmp::message::kind;
use tailwater_testkit::judge::live::LiveJudge;

use support::relay::Relay;
use support::wire::{Film, Key, Media, Seen, Wire};
use support::{SOON, now, pause};

/// The stream of the bystanders.
pub(crate) const STREAM: &str = "bystanders";

/// From one picture to the next.
const STEP: Duration = Duration::from_millis(40);
/// How long the bystanders go on after what happened beside them.
const AFTERMATH: Duration = Duration::from_millis(600);
/// Pictures from one key frame to the next.
const GROUP: u32 = 10;
/// Two minutes of pictures.
const PICTURES_MAX: usize = 3_000;

/// What the bystanders saw.
#[derive(Debug)]
pub(crate) struct Figures {
    /// From sending a picture to receiving it, sorted.
    delays: Vec<Duration>,
}

impl Figures {
    /// 99 of 100 pictures took no longer.
    pub(crate) fn p99(&self) -> Duration {
        self.delays[self.delays.len() * 99 / 100]
    }

    /// No picture took longer.
    pub(crate) fn longest(&self) -> Duration {
        self.delays[self.delays.len() - 1]
    }

    fn of(mut delays: Vec<Duration>) -> Self {
        assert!(!delays.is_empty(), "nothing was played");
        delays.sort_unstable();
        Self { delays }
    }

    /// Of all players together.
    pub(crate) fn of_all(all: Vec<Self>) -> Self {
        Self::of(all.into_iter().flat_map(|figures| figures.delays).collect())
    }
}

/// What the threads share.
struct Stage {
    begin: Instant,
    stop: AtomicBool,
    /// When the picture of each number was sent, in microseconds since `begin`.
    sent_us: Vec<AtomicU64>,
    /// Pictures sent in all, once there will be no more; 0 before.
    total: AtomicU32,
}

/// Ends the bystanders also when the test panics: else they would be waited for.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `what` beside a publisher and a player on each of `workers` workers. Fails when a player
/// lost something, or got something else.
#[track_caller]
pub(crate) fn beside<T>(relay: &Relay, workers: usize, what: impl FnOnce() -> T) -> (T, Figures) {
    let publisher = Wire::publish(relay.address(), STREAM);
    let players = relay.on_each_worker(workers, || Wire::play(relay.address(), STREAM));
    let (result, figures) = beside_these(publisher, players, what);
    (result, Figures::of_all(figures))
}

/// The same beside a publisher and players of [`STREAM`] that the caller has connected; what each
/// player saw.
#[track_caller]
pub(crate) fn beside_these<T>(
    publisher: Wire,
    players: Vec<Wire>,
    what: impl FnOnce() -> T,
) -> (T, Vec<Figures>) {
    let stage = Stage {
        begin: now(),
        stop: AtomicBool::new(false),
        sent_us: (0..PICTURES_MAX).map(|_| AtomicU64::new(0)).collect(),
        total: AtomicU32::new(0),
    };
    std::thread::scope(|scope| {
        let stop = StopAtEnd(&stage.stop);
        let publisher = scope.spawn(|| publish(publisher, &stage));
        let players: Vec<_> = players
            .into_iter()
            .map(|wire| scope.spawn(|| play(wire, &stage)))
            .collect();
        let result = what();
        // What it leaves behind counts, too.
        pause(AFTERMATH);
        drop(stop);
        let mut figures = Vec::new();
        for player in players {
            let delays = player.join().expect("a bystander who has seen all");
            figures.push(Figures::of(delays));
        }
        // It stays until all players are through.
        drop(publisher.join());
        (result, figures)
    })
}

fn publish(mut wire: Wire, stage: &Stage) -> Wire {
    let mut film = Film::new(STREAM, 0);
    wire.send_all(&film.headers);
    let mut number = 0;
    let mut due = now();
    while number == 0 || !stage.stop.load(Ordering::Relaxed) {
        let messages = match number % GROUP {
            0 => film.group(0),
            _ => film.more(1),
        };
        let at = u64::try_from(stage.begin.elapsed().as_micros()).unwrap();
        stage.sent_us[number as usize].store(at, Ordering::Relaxed);
        wire.send_all(&messages);
        number += 1;
        due += STEP;
        pause(due.saturating_duration_since(now()));
    }
    stage.total.store(number, Ordering::Relaxed);
    wire
}

/// Plays to the end; the delay of each picture.
fn play(mut wire: Wire, stage: &Stage) -> Vec<Duration> {
    let mut delays = Vec::new();
    let mut judge = LiveJudge::default();
    loop {
        let total = stage.total.load(Ordering::Relaxed);
        let next = judge.next();
        if total > 0 && next == [Some(u64::from(total)); 2] {
            return delays;
        }
        let limit = match total {
            0 => Duration::from_millis(500),
            _ => SOON,
        };
        let Some(seen) = wire.next(limit) else {
            // Looked at again: it may have been set meanwhile.
            let total = stage.total.load(Ordering::Relaxed);
            assert!(limit < SOON, "nothing more behind {next:?} of {total}");
            continue;
        };
        match seen {
            Seen::Media(media) => follow(&media, &mut judge, stage, &mut delays),
            Seen::Closed(_) => panic!("a bystander was closed behind {next:?}"),
            Seen::Status(_, code) => assert!(
                ["NetStream.Play.Reset", "NetStream.Play.Start"].contains(&&*code),
                "a bystander was told {code} behind {next:?}"
            ),
            Seen::Control(_) | Seen::Connected => {}
            Seen::Refused(code) => panic!("a bystander was refused: {code}"),
        }
    }
}

fn follow(media: &Media, judge: &mut LiveJudge, stage: &Stage, delays: &mut Vec<Duration>) {
    if media.kind == kind::DATA {
        return;
    }
    let judged = judge.take(&media.received());
    judged.unwrap_or_else(|what| panic!("{media:?}: {what}, of {judge:?}"));
    if let (kind::VIDEO, Some(number)) = (media.kind, media.number()) {
        let sent = Duration::from_micros(stage.sent_us[number as usize].load(Ordering::Relaxed));
        delays.push(stage.begin.elapsed().saturating_sub(sent));
    }
}

/// A picture with the headers in front, for a publisher of another stream.
pub(crate) fn opening(film: &mut Film) -> Vec<Media> {
    let mut messages = film.headers.clone();
    messages.extend(film.group(3));
    messages
}

/// Pictures of `len` bytes without end, a key frame each ten.
pub(crate) fn pictures(len: usize) -> impl Iterator<Item = Media> {
    (0..).map(move |number| {
        let key = match number % GROUP {
            0 => Key::Yes,
            _ => Key::No,
        };
        Media::picture(key, 40 * number, number, len)
    })
}
