//! Streams across two workers, and what comes of it when a letter is late or lost, or a worker
//! panics half-way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::wire::End;
use super::{KEY, MS, PLAYS, S, Stage};
use crate::config::Config;
use crate::rtmp::message::{MessageStreamId, kind};
use crate::worker::fault::{self, StepOf};
use crate::worker::mail::Mail;
use crate::worker::shared::Shared;

/// Two workers.
struct Pair {
    stages: [Stage; 2],
    /// Letters that were posted so far.
    letters: usize,
    /// The one that is lost.
    lost: Option<usize>,
}

impl Pair {
    #[expect(
        clippy::disallowed_methods,
        clippy::arc_with_non_send_sync,
        reason = "any instant will do, and all is on one thread"
    )]
    fn with_play_wait(play_wait: Duration) -> Self {
        let config = Config {
            grace: S(1),
            play_wait,
            // Every connection is looked at by then.
            handshake_timeout: S(2),
            ping: None,
            ..Config::default()
        };
        let shared = Arc::new(Shared::new(config, 2, 100));
        let now = Instant::now();
        Self {
            stages: [0, 1].map(|worker| Stage::at_work(worker, shared.clone(), now)),
            letters: 0,
            lost: None,
        }
    }

    fn new() -> Self {
        Self::with_play_wait(S(10))
    }

    /// Letters arrive until there are none.
    fn exchange(&mut self) {
        for _ in 0..100 {
            self.stages.iter_mut().for_each(Stage::settle);
            if self.stages.iter().all(|stage| stage.posted.is_empty()) {
                return;
            }
            for from in [0, 1] {
                for mail in std::mem::take(&mut self.stages[from].posted) {
                    self.letters += 1;
                    if self.lost != Some(self.letters - 1) {
                        self.stages[1 - from].post(mail);
                    }
                }
            }
        }
        panic!("they write without end");
    }

    /// Time passes, and whoever is to publish does.
    fn wait(&mut self, quarters: usize, sources: &[(usize, usize)]) {
        for _ in 0..quarters {
            for stage in &mut self.stages {
                stage.now += MS(250);
            }
            for &(worker, source) in sources {
                if !self.stages[worker].guests[source].gone {
                    self.stages[worker].send(source, kind::VIDEO, KEY, 3_000);
                }
            }
            self.exchange();
        }
    }

    /// Waits until whatever was lost is found; what `guests` of worker 1 then get of one message.
    fn heal(&mut self, sources: &[(usize, usize)], guests: &[usize]) -> Vec<usize> {
        let media = |pair: &Self| -> Vec<usize> {
            let guests = guests.iter().map(|guest| &pair.stages[1].guests[*guest]);
            guests.map(|guest| guest.media).collect()
        };
        loop {
            let from = self.letters;
            self.wait(FOUND, sources);
            let before = media(self);
            self.wait(1, sources);
            let is_lost = |lost| (from..self.letters).contains(&lost);
            if !self.lost.is_some_and(is_lost) {
                let gained = media(self).into_iter().zip(before);
                return gained.map(|(after, before)| after - before).collect();
            }
        }
    }

    fn leave(&mut self, worker: usize, guest: usize) {
        let guest = &mut self.stages[worker].guests[guest];
        guest.wire.borrow_mut().client_ends(End::Reset);
        guest.gone = true;
    }

    fn feeds(&self) -> usize {
        let streams = self
            .stages
            .iter()
            .flat_map(|stage| stage.core().streams.iter());
        streams.map(|(_, stream)| stream.feeds.len()).sum()
    }

    #[track_caller]
    fn check_gone(&mut self) {
        for worker in [0, 1] {
            for guest in 0..self.stages[worker].guests.len() {
                self.leave(worker, guest);
            }
        }
        self.wait(60, &[]);
        for stage in &self.stages {
            assert_eq!(stage.left(), [0; 14]);
        }
    }
}

/// So long at most until something lost is found, in quarters of a second.
const FOUND: usize = 13;

/// A stream with players on another worker from its first message to its end, with what is lost
/// or goes wrong on the way; how many letters there were.
fn life(lost: Option<usize>, panic: Option<(StepOf, u32)>) -> (usize, u64) {
    fault::reset();
    let mut pair = Pair::new();
    pair.lost = lost;
    if let Some((of, after)) = panic {
        fault::arm(of, after);
    }
    let early = pair.stages[1].play("cam");
    let source = pair.stages[0].publish("cam");
    let sources = [(0, source)];
    pair.wait(3, &sources);
    pair.stages[0].send(source, kind::VIDEO, &[0x17, 0, 0, 0, 0], 40);
    let late = pair.stages[1].play("cam");
    let gained = pair.heal(&sources, &[early, late]);
    assert!(panic.is_some() || gained == [1, 1], "{gained:?}, {lost:?}");
    pair.leave(1, early);
    pair.leave(1, late);
    pair.heal(&sources, &[]);
    assert_eq!(pair.feeds(), 0, "without {lost:?}");
    let again = pair.stages[1].play("cam");
    let gained = pair.heal(&sources, &[again]);
    assert!(panic.is_some() || gained == [1], "{gained:?}, {lost:?}");
    pair.leave(0, source);
    pair.heal(&[], &[]);
    let is_told = pair.stages[1].guests[again].gone;
    assert!(panic.is_some() || is_told, "without {lost:?}");
    pair.check_gone();
    let bugs = pair.stages.iter().map(|stage| stage.core().gauges.bugs);
    let (fired, bugs) = (fault::fired(), bugs.sum::<u64>());
    assert_eq!(bugs, fired, "{panic:?}");
    (pair.letters, fired)
}

#[test]
fn no_player_is_stuck_and_no_feed_left_behind_whichever_letter_is_lost() {
    let (letters, _) = life(None, None);
    assert!(letters > 30, "{letters}");
    for lost in 0..letters {
        life(Some(lost), None);
    }
}

#[test]
fn nothing_is_left_behind_wherever_a_worker_panics_half_way() {
    for of in StepOf::ALL {
        let mut fired = 0;
        for after in (0..60).chain([80, 100, 200]) {
            fired += life(None, Some((of, after))).1;
        }
        // Nobody calls another server.
        assert_eq!(fired == 0, of == StepOf::Call, "{of:?}: {fired}");
    }
}

#[test]
fn regression_all_who_come_while_a_stream_is_on_its_way_are_given_time_for_that() {
    let mut pair = Pair::with_play_wait(Duration::ZERO);
    let source = pair.stages[0].publish("cam");
    pair.stages[0].key_frame(source, 100);
    let players: Vec<usize> = (0..3).map(|_| pair.stages[1].play("cam")).collect();
    pair.exchange();
    for player in players {
        pair.stages[1].check_heard(player, &PLAYS);
        pair.leave(1, player);
    }
    // What nobody has is refused at once.
    let nobody = pair.stages[1].play("other");
    assert!(pair.stages[1].guests[nobody].gone);
    pair.leave(0, source);
    pair.wait(FOUND, &[]);
}

#[test]
fn regression_plays_begin_on_every_worker_at_once() {
    let mut pair = Pair::new();
    let source = pair.stages[0].publish("cam");
    pair.stages[1].play("cam");
    pair.wait(2, &[(0, source)]);
    let session = &mut pair.stages[0].guests[source].session;
    session.send_command(MessageStreamId(1), |amf| {
        _ = amf.string("closeStream").number(0.0).null();
    });
    session.send_command(MessageStreamId(1), |amf| {
        amf.string("publish").number(0.0).null().string("cam");
    });
    pair.wait(1, &[]);
    for worker in [0, 1] {
        let player = pair.stages[worker].play("cam");
        pair.exchange();
        pair.stages[worker].check_heard(player, &PLAYS);
    }
    pair.check_gone();
}

#[test]
fn each_worker_tells_its_players_that_the_relay_stops() {
    let mut pair = Pair::new();
    let drain = pair.stages[0].core().shared.config.drain;
    let source = pair.stages[0].publish("cam");
    let player = pair.stages[1].play("cam");
    pair.wait(2, &[(0, source)]);
    for stage in &mut pair.stages {
        stage.post(Mail::Drain);
        stage.turn();
    }
    // The worker of the publisher is the first to close its connections.
    pair.stages[0].now += drain;
    pair.exchange();
    assert!(pair.stages[0].guests[source].gone);
    let asked = [&PLAYS[..], &["NetConnection.Connect.ReconnectRequest"]].concat();
    pair.stages[1].check_heard(player, &asked);
    pair.stages[1].now += drain;
    pair.exchange();
    let stopped = [&asked[..], &["Play.UnpublishNotify", "end"]].concat();
    pair.stages[1].check_heard(player, &stopped);
}

#[test]
fn regression_what_is_said_late_of_one_life_of_a_stream_is_not_about_the_next() {
    let mut pair = Pair::new();
    let source = pair.stages[0].publish("cam");
    let player = pair.stages[1].play("cam");
    pair.wait(2, &[(0, source)]);
    // It goes, and the word of it is late.
    pair.leave(1, player);
    pair.stages[1].settle();
    let late = std::mem::take(&mut pair.stages[1].posted);
    assert_eq!(late.len(), 1);
    pair.leave(0, source);
    pair.wait(8, &[]);
    let next = pair.stages[1].play("cam");
    let source = pair.stages[0].publish("cam");
    pair.exchange();
    late.into_iter().for_each(|mail| pair.stages[0].post(mail));
    pair.wait(4, &[(0, source)]);
    assert_eq!(pair.stages[1].guests[next].media, 4);
    // The same for a player that comes and goes.
    pair.leave(1, next);
    pair.wait(1, &[]);
    let brief = pair.stages[1].play("cam");
    let late = std::mem::take(&mut pair.stages[1].posted);
    assert_eq!(late.len(), 1);
    pair.leave(0, source);
    pair.wait(8, &[]);
    pair.leave(1, brief);
    pair.exchange();
    pair.stages[0].publish("cam");
    pair.exchange();
    late.into_iter().for_each(|mail| pair.stages[0].post(mail));
    pair.exchange();
    assert_eq!(pair.feeds(), 0);
    pair.check_gone();
}
