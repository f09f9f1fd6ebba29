//! A worker, a clock and a few clients that do what a test tells them: what happens at the
//! limits, one by one. What happens when everything comes together is for the simulation.

mod accounts;
mod hostile;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wire::{End, Panics, SimSocket, Wire};
use crate::config::Config;
use crate::limits;
use crate::rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use crate::rtmp::handshake::Mode;
use crate::rtmp::message::{MessageHeader, Payload, Timestamp, kind};
use crate::stats::Gauges;
use crate::worker::core::{Core, Shared};
use crate::worker::memory::Pressure;

/// A worker with its clients.
struct Stage {
    core: Core<SimSocket>,
    shared: Arc<Shared<SimSocket>>,
    born: Instant,
    now: Instant,
    guests: Vec<Guest>,
}

struct Guest {
    session: ClientSession,
    wire: Rc<RefCell<Wire>>,
    /// The codes of all statuses, and `end` when the relay closed.
    heard: Vec<String>,
    media: usize,
    /// Bytes it reads in a quarter of a second, and what is left of them.
    appetite: usize,
    left: usize,
    gone: bool,
}

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

impl Stage {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            grace: S(1),
            ping: None,
            ..Config::default()
        };
        change(&mut config);
        Self::with(config, 10_000)
    }

    #[expect(
        clippy::disallowed_methods,
        clippy::arc_with_non_send_sync,
        reason = "any instant will do, and all is on one thread"
    )]
    fn with(config: Config, max_connections: usize) -> Self {
        let now = Instant::now();
        let shared = Arc::new(Shared::new(config, 1, max_connections));
        Self {
            core: Core::new(0, shared.clone(), 7, now),
            shared,
            born: now,
            now,
            guests: Vec::new(),
        }
    }

    /// Somebody connects from 10.0.0.1 and publishes or plays `live/NAME`; its number.
    fn come(&mut self, action: Action, name: &str) -> usize {
        self.come_from([10, 0, 0, 1], action, name)
    }

    fn come_from(&mut self, address: [u8; 4], action: Action, name: &str) -> usize {
        let request = ClientRequest {
            app: "live".to_owned(),
            tc_url: "rtmp://relay/live".to_owned(),
            stream: name.to_owned(),
            action,
            handshake: Mode::Plain,
            chunk_size: 65_536,
        };
        let id = self.guests.len();
        let wire = Rc::new(RefCell::new(Wire::new(1 << 20, 1 << 16)));
        wire.borrow_mut().interrupt_in = u32::MAX / 2;
        let socket = SimSocket {
            client: id,
            wire: wire.clone(),
        };
        self.core.set_now(self.now);
        let peer = SocketAddr::from((address, 1_000));
        let key = self.core.accept(socket, peer);
        if let Some(key) = key {
            wire.borrow_mut().register(0, key);
        }
        self.guests.push(Guest {
            session: ClientSession::new(request, id as u64),
            wire,
            heard: Vec::new(),
            media: 0,
            appetite: usize::MAX,
            left: usize::MAX,
            gone: key.is_none(),
        });
        self.settle();
        id
    }

    fn publish(&mut self, name: &str) -> usize {
        self.come(Action::Publish, name)
    }

    fn play(&mut self, name: &str) -> usize {
        self.come(Action::Play, name)
    }

    /// Everything that can happen now happens.
    fn settle(&mut self) {
        // Also when nothing moves there may be a deadline.
        self.turn();
        for _ in 0..1_000 {
            let mut moved = false;
            let time = self.now.duration_since(self.born);
            for guest in &mut self.guests {
                moved |= guest.act(time);
            }
            if !moved && !self.has_events() && !self.core.has_leftovers() {
                return;
            }
            self.turn();
        }
        panic!("it does not come to rest");
    }

    fn has_events(&self) -> bool {
        self.guests.iter().any(|guest| {
            let wire = guest.wire.borrow();
            wire.event && wire.seat.is_some()
        })
    }

    fn turn(&mut self) {
        let core = &mut self.core;
        core.set_now(self.now);
        for guest in &self.guests {
            let mut wire = guest.wire.borrow_mut();
            let Some((_, key)) = wire.seat else { continue };
            if let Some(ready) = wire.harvest() {
                core.on_ready(key, ready.readable, ready.writable);
                if ready.hangup {
                    core.on_hangup(key);
                }
            }
        }
        core.ingress();
        core.feed();
        core.egress();
        core.serve_woken();
        core.expire();
        core.new_publishers().clear();
        core.publish_stats();
        assert!(core.outbound().is_empty(), "there is nobody to write to");
    }

    /// Time passes in quarters of a second, in each of which `what` happens.
    fn pass(&mut self, time: Duration, mut what: impl FnMut(&mut Self)) {
        let until = self.now + time;
        while self.now < until {
            self.now = until.min(self.now + MS(250));
            for guest in &mut self.guests {
                guest.left = guest.appetite;
            }
            what(self);
            self.settle();
        }
    }

    fn wait(&mut self, time: Duration) {
        self.pass(time, |_| {});
    }

    /// A publisher sends one message of `len` bytes.
    fn send(&mut self, guest: usize, message_kind: u8, head: &[u8], len: usize) {
        let time = self.now.duration_since(self.born).as_millis();
        let mut body = head.to_vec();
        body.resize(len.max(head.len()), 0);
        let guest = &mut self.guests[guest];
        let header = MessageHeader {
            csid: 6,
            timestamp: Timestamp(u32::try_from(time).unwrap()),
            kind: message_kind,
            msid: guest.session.msid().unwrap_or(1),
            len: body.len(),
        };
        guest
            .session
            .send_media(&header, &Payload::from_slice(&body));
    }

    /// A publisher sends a key frame of `len` bytes.
    fn key_frame(&mut self, guest: usize, len: usize) {
        self.send(guest, kind::VIDEO, KEY, len);
        self.settle();
    }

    #[track_caller]
    fn check_heard(&self, guest: usize, expected: &[&str]) {
        assert_eq!(self.guests[guest].heard, expected, "guest {guest}");
    }

    fn gauges(&self) -> Gauges {
        self.core.gauges
    }

    /// Everybody leaves; nothing is left.
    #[track_caller]
    fn end(mut self) {
        for guest in &mut self.guests {
            if !guest.gone {
                guest.wire.borrow_mut().client_ends(End::Reset);
                guest.gone = true;
            }
        }
        self.settle();
        self.wait(S(15));
        let core = &self.core;
        let admission = &self.shared.admission;
        let left = [
            core.conns.len(),
            core.streams.len(),
            core.by_name.len(),
            core.players,
            core.publishers,
            self.shared.registry.len(),
            self.shared.registry.owned(),
            admission.connections(),
            admission.newcomers(),
            admission.per_address().iter().sum(),
        ];
        assert_eq!(left, [0; 10]);
        for guest in &self.guests {
            assert!(guest.wire.borrow().relay_gone);
        }
    }
}

const KEY: &[u8] = &[0x17, 1, 0, 0, 0];
const INTER: &[u8] = &[0x27, 1, 0, 0, 0];
const SOUND: &[u8] = &[0xAF, 1];

impl Guest {
    /// Sends what it has to send and reads what it cares to; whether anything moved.
    fn act(&mut self, time: Duration) -> bool {
        if self.gone {
            return false;
        }
        self.session.set_now(time);
        let mut wire = self.wire.borrow_mut();
        let out = self.session.out();
        let sent = wire.client_send(out.pending(), usize::MAX);
        out.advance(sent);
        let count = wire.to_client.len().min(self.left);
        self.left -= count;
        let input = wire.to_client.front()[..count].to_vec();
        wire.client_took(count);
        let is_over = wire.relay_fin && wire.to_client.is_empty();
        drop(wire);
        self.decode(&input);
        if is_over {
            self.gone = true;
            self.heard.push("end".to_owned());
            self.wire.borrow_mut().client_ends(End::Closed);
        }
        sent > 0 || count > 0 || is_over
    }

    fn decode(&mut self, input: &[u8]) {
        let mut at = 0;
        while let Some(event) = self.session.next(input, &mut at).unwrap() {
            match event {
                ClientEvent::Media(_) => self.media += 1,
                ClientEvent::Status { code, .. } => {
                    let code = code.strip_prefix("NetStream.").unwrap_or(&code);
                    self.heard.push(code.to_owned());
                }
                _ => {}
            }
        }
        self.session.end_input(input, at).unwrap();
    }
}

/// What a player hears of a play that works.
const PLAYS: [&str; 2] = ["Play.Reset", "Play.Start"];

#[test]
fn a_panic_while_a_publisher_is_read_ends_it_and_its_stream_and_nothing_else() {
    let mut stage = Stage::new(|_| {});
    let (bad, good) = (stage.publish("bad"), stage.publish("good"));
    let (victim, other) = (stage.play("bad"), stage.play("good"));
    let waiting = stage.play("later");
    stage.key_frame(bad, 100);
    stage.key_frame(good, 100);
    stage.guests[bad].wire.borrow_mut().panic_in.read = Some(0);
    stage.key_frame(bad, 100);
    stage.key_frame(good, 100);
    assert_eq!((stage.gauges().bugs, stage.gauges().violations), (1, 0));
    stage.check_heard(bad, &["Publish.Start", "end"]);
    let ended = [&PLAYS[..], &["Play.UnpublishNotify", "end"]].concat();
    stage.check_heard(victim, &ended);
    stage.check_heard(other, &PLAYS);
    assert_eq!(stage.guests[other].media, 2);
    // The name is free at once, and who comes starts with what comes.
    let (again, viewer) = (stage.publish("bad"), stage.play("bad"));
    stage.check_heard(again, &["Publish.Start"]);
    stage.key_frame(again, 100);
    assert_eq!(stage.guests[viewer].media, 1);
    stage.check_heard(waiting, &[]);
    stage.end();
}

#[test]
fn a_panic_while_a_player_is_written_to_ends_that_player_alone() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let players: Vec<usize> = (0..5).map(|_| stage.play("cam")).collect();
    stage.key_frame(source, 100);
    for bad in [players[0], players[2], players[4]] {
        stage.guests[bad].wire.borrow_mut().panic_in.write = Some(0);
    }
    stage.key_frame(source, 100);
    stage.key_frame(source, 100);
    assert_eq!(stage.gauges().bugs, 3);
    for (index, player) in players.into_iter().enumerate() {
        let guest = &stage.guests[player];
        assert_eq!(guest.gone, index % 2 == 0, "player {index}");
        assert_eq!(guest.media, if guest.gone { 1 } else { 3 });
    }
    stage.check_heard(source, &["Publish.Start"]);
    stage.end();
}

#[test]
fn regression_whoever_comes_after_one_that_is_closed_with_two_plays_is_served() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    stage.key_frame(source, 100);
    let twice = stage.play("cam");
    let before = stage.play("cam");
    let session = &mut stage.guests[twice].session;
    session.send_command(0, |amf| {
        amf.string("createStream").number(9.0).null();
    });
    session.send_command(2, |amf| {
        amf.string("play").number(0.0).null().string("cam");
    });
    stage.settle();
    let after = stage.play("cam");
    assert_eq!(stage.core.players, 4);
    // The one that plays twice goes when its second play is written to.
    stage.guests[twice].wire.borrow_mut().panic_in.write = Some(1);
    stage.key_frame(source, 100);
    assert_eq!((stage.gauges().bugs, stage.core.players), (1, 2));
    assert_eq!(stage.guests[before].media, 2);
    assert_eq!(stage.guests[after].media, 2);
    stage.end();
}

#[test]
fn a_panic_at_any_call_on_any_socket_leaves_nothing_behind() {
    let mut bugs = 0;
    for calls in 0..12 {
        for guest in 0..4 {
            for side in 0..2 {
                let mut stage = Stage::new(|_| {});
                for number in 0..4 {
                    let call = (number == guest).then_some(calls);
                    let panics = match side {
                        0 => Panics {
                            read: call,
                            write: None,
                        },
                        _ => Panics {
                            read: None,
                            write: call,
                        },
                    };
                    let action = [Action::Publish, Action::Play][number % 2];
                    let id = stage.come(action, ["a", "a", "b", "a"][number]);
                    stage.guests[id].wire.borrow_mut().panic_in = panics;
                    for source in [0, 2] {
                        if source <= id {
                            stage.key_frame(source, 3_000);
                        }
                    }
                }
                for _ in 0..6 {
                    stage.key_frame(0, 3_000);
                    stage.key_frame(2, 3_000);
                    stage.wait(MS(250));
                }
                bugs += stage.gauges().bugs;
                assert!(stage.gauges().bugs <= 1);
                assert_eq!(stage.guests[2].gone, guest == 2 && stage.gauges().bugs == 1);
                stage.end();
            }
        }
    }
    assert!(bugs > 30, "{bugs} panics");
}

#[test]
fn a_publisher_that_sends_no_pictures_and_no_sound_is_closed() {
    let mut stage = Stage::new(|_| {});
    let (mute, live) = (stage.publish("mute"), stage.publish("live"));
    let data = |stage: &mut Stage| {
        stage.send(mute, kind::DATA, b"\x02\x00\x0AonCuePoint", 20);
        stage.send(live, kind::AUDIO, SOUND, 20);
    };
    stage.pass(limits::MEDIA_IDLE - MS(250), data);
    stage.check_heard(mute, &["Publish.Start"]);
    stage.pass(S(11), data);
    stage.check_heard(mute, &["Publish.Start", "Publish.Idle", "end"]);
    stage.check_heard(live, &["Publish.Start"]);
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

#[test]
fn a_publisher_may_send_so_many_bits_and_no_more() {
    // 100,000 bytes a second, and 25 messages of 1 KB in a quarter of one: just below.
    for (len, is_closed) in [(990, false), (1_050, true)] {
        let mut stage = Stage::new(|config| config.publish_bitrate_max = Some(800_000));
        let source = stage.publish("cam");
        stage.pass(S(30), |stage| {
            (0..25).for_each(|_| stage.send(source, kind::VIDEO, INTER, len - 12));
        });
        let heard = &stage.guests[source].heard;
        assert_eq!(heard.len() > 1, is_closed, "{len}: {heard:?}");
        if is_closed {
            stage.check_heard(source, &["Publish.Start", "Publish.Denied", "end"]);
        }
        stage.end();
    }
    let mut stage = Stage::new(|config| config.publish_bitrate_max = None);
    let source = stage.publish("cam");
    stage.pass(S(2), |stage| {
        stage.send(source, kind::VIDEO, INTER, 900_000);
    });
    stage.check_heard(source, &["Publish.Start"]);
    stage.end();
}

#[test]
fn no_more_streams_are_published_than_there_may_be() {
    let mut stage = Stage::new(|config| config.max_streams = Some(2));
    let first = stage.publish("a");
    stage.publish("b");
    let player = stage.play("c");
    let third = stage.publish("c");
    stage.check_heard(third, &["Publish.Denied", "end"]);
    stage.check_heard(player, &[]);
    assert_eq!(stage.gauges().refused_publishes, 1);
    // One that waits for its publisher counts still, and its publisher may come back.
    stage.guests[first]
        .wire
        .borrow_mut()
        .client_ends(End::Reset);
    stage.guests[first].gone = true;
    stage.settle();
    let refused = stage.publish("c");
    stage.check_heard(refused, &["Publish.Denied", "end"]);
    let back = stage.publish("a");
    stage.check_heard(back, &["Publish.Start"]);
    stage.guests[back].wire.borrow_mut().client_ends(End::Reset);
    stage.guests[back].gone = true;
    stage.wait(S(2));
    let taken = stage.publish("c");
    stage.check_heard(taken, &["Publish.Start"]);
    stage.check_heard(player, &PLAYS);
    stage.end();
}

#[test]
fn one_address_publishes_so_often_and_no_more() {
    let mut stage = Stage::new(|config| config.grace = Duration::ZERO);
    let burst = limits::PUBLISHES.burst();
    let publish = |stage: &mut Stage, address| {
        let guest = stage.come_from(address, Action::Publish, "cam");
        let heard = stage.guests[guest].heard.first().cloned();
        stage.guests[guest]
            .wire
            .borrow_mut()
            .client_ends(End::Reset);
        stage.guests[guest].gone = true;
        stage.settle();
        stage.wait(Duration::ZERO);
        stage.core.expire();
        heard.unwrap()
    };
    for _ in 0..burst {
        assert_eq!(publish(&mut stage, [10, 0, 0, 1]), "Publish.Start");
    }
    assert_eq!(publish(&mut stage, [10, 0, 0, 1]), "Publish.Denied");
    assert_eq!(publish(&mut stage, [10, 0, 0, 2]), "Publish.Start");
    stage.wait(MS(250));
    assert_eq!(publish(&mut stage, [10, 0, 0, 1]), "Publish.Start");
    assert_eq!(stage.gauges().refused_publishes, 1);
    stage.end();
}

#[test]
fn headers_that_change_all_the_time_are_relayed_and_not_kept() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let player = stage.play("cam");
    let burst = limits::HEADER_CHANGES.burst();
    let header = |stage: &mut Stage, number: u32| {
        let [a, b, ..] = number.to_le_bytes();
        stage.send(source, kind::VIDEO, &[0x17, 0, 0, 0, 0, a, b], 20);
        stage.settle();
    };
    (0..burst + 5).for_each(|number| header(&mut stage, number));
    assert_eq!(stage.gauges().unkept_headers, 5);
    assert_eq!(stage.guests[player].media, burst as usize + 5);
    // The same one again is no change.
    (0..9).for_each(|_| header(&mut stage, burst - 1));
    assert_eq!(stage.gauges().unkept_headers, 5);
    stage.wait(MS(250));
    header(&mut stage, 9_999);
    assert_eq!(stage.gauges().unkept_headers, 5);
    stage.end();
}

#[test]
fn headers_that_change_without_end_end_the_publisher() {
    let mut stage = Stage::new(|_| {});
    let source = stage.publish("cam");
    let most = limits::HEADER_CHANGES.burst() + limits::GLITCHES.burst();
    for number in 0..most + 1 {
        assert_eq!(stage.gauges().violations, 0, "after {number}");
        let [a, b, ..] = number.to_le_bytes();
        stage.send(source, kind::VIDEO, &[0x17, 0, 0, 0, 0, a, b], 20);
        stage.settle();
    }
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

/// A player that reads `appetite` bytes each quarter of a second of a stream that has more;
/// what it hears in `time`.
fn slow_player(
    change: impl FnOnce(&mut Config),
    appetite: usize,
    time: Duration,
) -> (Stage, usize) {
    let mut stage = Stage::new(change);
    let source = stage.publish("cam");
    let player = stage.play("cam");
    stage.key_frame(source, 100);
    stage.guests[player].appetite = appetite;
    stage.pass(time, |stage| {
        stage.send(source, kind::VIDEO, KEY, 20_000);
    });
    (stage, player)
}

#[test]
fn a_player_that_takes_next_to_nothing_is_closed() {
    // 64 KiB in 30 s are 547 bytes in a quarter of a second. The pipe reports room once a third
    // of it is free, so that it takes its time to begin.
    for (appetite, is_closed) in [(400, true), (1_200, false)] {
        let (stage, player) = slow_player(|_| {}, appetite, S(100));
        assert_eq!(
            stage.guests[player].wire.borrow().relay_gone,
            is_closed,
            "{appetite}"
        );
        assert_eq!(stage.gauges().violations, u64::from(is_closed));
        stage.end();
    }
    // Not while it is given more time than that to take nothing at all.
    let (stage, player) = slow_player(|config| config.send_timeout = S(300), 400, S(100));
    assert!(!stage.guests[player].wire.borrow().relay_gone);
    stage.end();
}

#[test]
fn a_player_that_jumps_all_the_time_is_closed_if_the_operator_says_so() {
    let lag = |skips: Option<usize>| {
        move |config: &mut Config| {
            config.skips_max = skips;
            config.lag_max = 65_536;
        }
    };
    let (stage, player) = slow_player(lag(None), 8_000, S(60));
    assert!(!stage.guests[player].gone);
    assert!(stage.gauges().skips > 3, "{}", stage.gauges().skips);
    stage.end();
    let (mut stage, player) = slow_player(lag(Some(3)), 8_000, S(60));
    assert_eq!(stage.gauges().skips, 3);
    stage.guests[player].appetite = usize::MAX;
    stage.wait(MS(250));
    assert!(stage.guests[player].wire.borrow().relay_gone);
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

#[test]
fn a_message_that_is_begun_and_left_closes_the_connection() {
    let mut stage = Stage::new(|_| {});
    let player = stage.play("cam");
    stage.publish("cam");
    // The first chunk of a command of 300 bytes, and nothing more.
    let mut chunk = vec![3, 0, 0, 0, 0, 1, 44, 20, 0, 0, 0, 0];
    chunk.resize(12 + 128, 0);
    let out = stage.guests[player].session.out();
    out.writer().extend_from_slice(&chunk);
    stage.settle();
    let wait = limits::PARTIAL_MESSAGE_WAIT;
    let sound = |stage: &mut Stage| stage.send(1, kind::AUDIO, SOUND, 20);
    stage.pass(wait - MS(250), sound);
    assert!(!stage.guests[player].gone);
    stage.pass(S(11), sound);
    assert!(stage.guests[player].gone);
    assert_eq!(stage.gauges().violations, 1);
    stage.end();
}

#[test]
fn those_for_whom_there_is_no_room_are_turned_away() {
    let mut stage = Stage::with(Config::default(), 80);
    let anywhere = |number: usize| [10, 0, 1, u8::try_from(number).unwrap()];
    // Those that wait for a stream are newcomers still.
    for number in 0..limits::NEWCOMERS_LEAST {
        let id = stage.come_from(anywhere(number), Action::Play, "later");
        assert!(!stage.guests[id].gone);
    }
    assert_eq!(stage.shared.admission.newcomers(), limits::NEWCOMERS_LEAST);
    let refused = stage.play("later");
    assert!(stage.guests[refused].gone);
    assert_eq!(stage.gauges().refused_newcomers, 1);
    stage.end();
    let mut stage = Stage::with(Config::default(), 80);
    stage.publish("now");
    for _ in 1..80 {
        let id = stage.play("now");
        assert!(!stage.guests[id].gone);
    }
    assert_eq!(stage.shared.admission.newcomers(), 0);
    let refused = stage.play("now");
    assert!(stage.guests[refused].gone);
    assert_eq!(stage.gauges().refused, 1);
    stage.end();
    let mut stage = Stage::new(|config| config.max_per_address = Some(3));
    for _ in 0..3 {
        let id = stage.play("later");
        assert!(!stage.guests[id].gone);
    }
    let refused = stage.play("later");
    assert!(stage.guests[refused].gone);
    let other = stage.come_from([10, 0, 0, 2], Action::Play, "later");
    assert!(!stage.guests[other].gone);
    assert_eq!(stage.gauges().refused_address, 1);
    stage.end();
}

/// A stage with so much memory, and logs of at most so many bytes.
fn small(memory: usize, log_bytes: usize) -> Stage {
    Stage::new(|config| {
        config.memory_max = Some(memory);
        config.log_bytes = log_bytes;
        config.lag_max = log_bytes;
        config.grace = S(10);
    })
}

const MIB: usize = 1 << 20;

#[test]
fn as_memory_fills_up_streams_then_players_are_refused_and_then_the_newest_go() {
    let mut stage = small(8 * MIB, MIB);
    let mut sources: Vec<(usize, bool)> = Vec::new();
    let (mut seen, mut worst) = (Vec::new(), 0);
    for round in 0..60 {
        let name = format!("cam{round}");
        sources.push((stage.publish(&name), false));
        stage.play(&name);
        stage.pass(MS(500), |stage| {
            // A group of pictures that does not end: each log fills up to what it may hold.
            for (source, has_begun) in &mut sources {
                let head = if *has_begun { INTER } else { KEY };
                *has_begun = true;
                if !stage.guests[*source].gone {
                    stage.send(*source, kind::VIDEO, head, 8_000);
                }
            }
            worst = worst.max(stage.core.held_bytes());
            if !seen.contains(&stage.core.pressure) {
                seen.push(stage.core.pressure);
            }
        });
    }
    assert!(seen.contains(&Pressure::NoStreams), "{seen:?}");
    assert!(seen.contains(&Pressure::NoPlayers), "{seen:?}");
    let gauges = stage.gauges();
    assert!(gauges.refused_publishes > 0, "{gauges:?}");
    assert!(gauges.refused_memory > 0, "{gauges:?}");
    let most = 8 * MIB as u64 + stage.core.log_limits.bytes;
    assert!(worst <= most, "{worst} bytes were held, {most} are allowed");
    // What came first is still there.
    assert!(!stage.guests[sources[0].0].gone);
    stage.end();
}

#[test]
fn the_newest_players_and_publishers_go_when_nothing_else_helps() {
    let mut stage = small(4 * MIB, 2 * MIB);
    let sources: Vec<usize> = (0..5).map(|n| stage.publish(&format!("cam{n}"))).collect();
    let players: Vec<usize> = (0..5).map(|n| stage.play(&format!("cam{n}"))).collect();
    // All at once, before anybody counts.
    stage.core.memory_due = stage.now + S(9);
    for &source in &sources {
        stage.send(source, kind::VIDEO, KEY, 900_000);
    }
    stage.settle();
    let before = stage.core.held_bytes();
    assert!(before > 4 * MIB as u64, "{before}");
    stage.core.memory_due = stage.now;
    stage.wait(S(4));
    assert_eq!(stage.gauges().shed, 3);
    let shed = [&PLAYS[..], &["Play.Failed", "end"]].concat();
    stage.check_heard(players[4], &shed);
    for (index, &source) in sources.iter().enumerate() {
        let shed = &["Publish.Start", "Publish.Denied", "end"][..];
        stage.check_heard(source, if index < 3 { &shed[..1] } else { shed });
    }
    assert!(stage.core.held_bytes() < 85 * 4 * MIB as u64 / 100);
    assert!(stage.core.pressure < Pressure::ShedPlayers);
    stage.end();
}
