//! Lines to other servers, one by one: what happens when one ends, and when a worker panics while
//! it calls. What happens when everything comes together is for the simulation of several relays.

use std::cell::RefCell;
use std::mem::take;
use std::net::SocketAddr;
use std::rc::Rc;

use super::super::tables;
use super::super::wire::{End, Wire};
use super::{KEY, MS, NOBODY, S, Stage};
use crate::config::Config;
use crate::edge::hops::RELAY_KEY;
use crate::edge::rule::Rule;
use crate::rtmp::client::Action;
use crate::rtmp::command::Status;
use crate::rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};
use crate::rtmp::server::{Event, Request, ServerSession, WireSettings};
use crate::rtmp::writer::write_message;
use crate::worker::fault::{self, StepOf};
use crate::worker::mail::Mail;

/// A server that has every stream, and takes every one.
pub(super) struct Origin {
    session: ServerSession,
    wire: Rc<RefCell<Wire>>,
    /// Messages it was handed.
    taken: usize,
    /// It has no stream.
    is_empty: bool,
}

impl Origin {
    /// Answers whatever it was asked.
    fn act(&mut self) {
        let mut wire = self.wire.borrow_mut();
        let input = wire.to_client.front().to_vec();
        wire.client_took(input.len());
        let mut at = 0;
        while let Some(event) = self.session.next(&input, &mut at).unwrap() {
            let settings = WireSettings {
                chunk_size: 4_096,
                window_ack: 1 << 20,
            };
            match event {
                Event::Media(_) => self.taken += 1,
                Event::Request(Request::Connect) => {
                    self.session.accept_connect_with(&settings, |properties| {
                        properties.boolean_property(RELAY_KEY, true);
                    });
                }
                Event::Request(Request::Play { msid, .. }) if self.is_empty => {
                    let (status, why) = (Status::PlayStreamNotFound, "no such stream");
                    self.session.reject(msid, status, why);
                }
                Event::Request(Request::Play { msid, name, reset }) => {
                    self.session.accept_play(msid, &name.key(), reset);
                }
                Event::Request(Request::Publish { msid, name, .. }) => {
                    self.session.accept_publish(msid, &name.key());
                }
                Event::Request(_) => {}
            }
        }
        self.session.end_input(&input, at).unwrap();
        let out = self.session.out();
        let sent = wire.client_send(out.pending(), usize::MAX);
        out.advance(sent);
        if wire.relay_fin {
            wire.client_ends(End::Closed);
        }
    }

    /// Sends a key frame.
    pub(super) fn key_frame(&mut self, time: u32) {
        let body = [KEY, &[0; 40]].concat();
        let header = MessageHeader {
            csid: 6,
            timestamp: Timestamp(time),
            kind: kind::VIDEO,
            msid: MessageStreamId(1),
            len: body.len(),
        };
        let out = self.session.out().writer();
        write_message(out, &header, &Payload::from_slice(&body), 4_096);
    }
}

/// A worker, and the servers that it has called so far.
pub(super) struct Lines {
    pub(super) stage: Stage,
    pub(super) origins: Vec<Origin>,
    /// Servers that are called from now on have no stream.
    are_empty: bool,
}

impl Lines {
    pub(super) fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self {
            stage: Stage::new(change),
            origins: Vec::new(),
            are_empty: false,
        }
    }

    /// Everything that can happen now happens; every call is answered.
    pub(super) fn settle(&mut self) {
        for _ in 0..30 {
            self.stage.settle();
            self.meet_servers();
            self.origins.iter_mut().for_each(Origin::act);
        }
    }

    /// Every name is found, and whoever was called is there.
    fn meet_servers(&mut self) {
        let address = SocketAddr::from(([10, 1, 0, 1], 1_935));
        let (asked, dialled) = {
            let mut network = self.stage.network.borrow_mut();
            (take(&mut network.asked), take(&mut network.dialled))
        };
        for (id, _) in asked {
            let addresses = Ok(vec![address]);
            self.stage.post(Mail::Resolved { id, addresses });
        }
        let origins = dialled.into_iter().map(|wire| Origin {
            session: ServerSession::new(7),
            wire,
            taken: 0,
            is_empty: self.are_empty,
        });
        self.origins.extend(origins);
    }

    /// Time passes, in which the last origin sends.
    pub(super) fn pass(&mut self, quarters: u32) {
        for _ in 0..quarters {
            self.stage.now += MS(250);
            let time = self.stage.now.duration_since(self.stage.born).as_millis();
            if let Some(origin) = self.origins.last_mut() {
                origin.key_frame(u32::try_from(time).unwrap());
            }
            self.settle();
        }
    }
}

pub(super) fn pull(config: &mut Config) {
    config.pull = vec![Rule::parse("rtmp://origin").unwrap()];
    config.pull_linger = S(2);
}

pub(super) fn leave(stage: &mut Stage, guest: usize) {
    let guest = &mut stage.guests[guest];
    guest.wire.borrow_mut().client_ends(End::Reset);
    guest.gone = true;
}

#[test]
fn regression_a_stream_that_is_let_go_counts_as_published_no_longer() {
    let mut lines = Lines::new(pull);
    let player = lines.stage.play("cam");
    lines.pass(4);
    assert!(lines.stage.guests[player].media > 0);
    assert_eq!(lines.stage.core().census(), (1, 1));
    leave(&mut lines.stage, player);
    lines.pass(6);
    // Who comes within the linger finds it live, and nobody is called again.
    let player = lines.stage.play("cam");
    lines.pass(4);
    assert!(lines.stage.guests[player].media > 0);
    assert_eq!(lines.origins.len(), 1);
    leave(&mut lines.stage, player);
    lines.pass(12);
    assert_eq!(lines.stage.core().census(), (0, 0));
    lines.stage.end();
}

#[test]
fn nobody_begins_to_play_what_all_origins_say_is_over() {
    let mut lines = Lines::new(|config| {
        pull(config);
        config.pull = vec![Rule::parse("rtmp://one,rtmp://two").unwrap()];
    });
    let player = lines.stage.play("cam");
    lines.settle();
    lines.origins[0].key_frame(0);
    lines.settle();
    assert_eq!(lines.stage.guests[player].media, 1);
    lines.are_empty = true;
    lines.origins[0]
        .session
        .end_play(MessageStreamId(1), "the stream is over");
    lines.settle();
    assert_eq!(lines.origins.len(), 2, "the others are asked");
    let late = lines.stage.play("cam");
    lines.settle();
    assert!(!lines.stage.guests[player].gone);
    lines.stage.check_heard(late, &[]);
    lines.pass(16);
    assert!(lines.stage.guests[player].gone);
}

#[test]
fn regression_an_origin_that_is_silent_from_the_start_is_asked_before_it_is_closed() {
    let mut lines = Lines::new(|config| {
        pull(config);
        config.pull_timeout = S(4);
        config.pull_give_up = S(60);
    });
    let player = lines.stage.play("cam");
    lines.settle();
    lines.origins[0].key_frame(0);
    lines.settle();
    assert_eq!(lines.stage.guests[player].media, 1);
    for _ in 0..120 {
        lines.stage.now += MS(250);
        lines.settle();
    }
    assert_eq!(lines.origins.len(), 1, "it answers each ping");
    leave(&mut lines.stage, player);
    for _ in 0..40 {
        lines.stage.now += MS(250);
        lines.settle();
    }
    lines.stage.end();
}

#[test]
fn a_call_goes_on_to_the_next_address_in_the_same_turn() {
    let mut stage = Stage::new(pull);
    let server = SocketAddr::from(([10, 1, 0, 1], 1_935));
    stage.network.borrow_mut().known = vec![NOBODY, server];
    let player = stage.play("cam");
    assert_eq!(stage.network.borrow().dialled.len(), 1);
    leave(&mut stage, player);
    stage.end();
}

#[test]
fn a_panic_in_the_middle_of_a_call_costs_that_call_alone() {
    let mut fired = 0;
    for after in 0..3 {
        let mut lines = Lines::new(pull);
        fault::arm(StepOf::Call, after);
        let player = lines.stage.play("cam");
        lines.pass(60);
        fired += fault::fired();
        assert_eq!(lines.stage.gauges().bugs, fault::fired());
        // It was closed with what panicked, or it is served.
        let guest = &lines.stage.guests[player];
        assert!(
            guest.gone || guest.media > 20,
            "after {after}: {}",
            guest.media
        );
        let again = lines.stage.play("cam");
        lines.pass(20);
        assert!(lines.stage.guests[again].media > 10, "after {after}");
        for guest in [player, again] {
            leave(&mut lines.stage, guest);
        }
        lines.pass(20);
        lines.stage.end();
    }
    // The name is found, and the server called.
    assert_eq!(fired, 2);
}

#[test]
fn regression_dead_push_targets_set_one_timer_a_stream() {
    let mut stage = Stage::new(|config| {
        let rule = |number| Rule::parse(&format!("rtmp://dead{number}/app/key")).unwrap();
        config.push = (0..6).map(rule).collect();
    });
    let publisher = stage.publish("cam");
    for _ in 0..480 {
        stage.now += MS(250);
        stage.key_frame(publisher, 40);
        stage.settle();
        let asked = take(&mut stage.network.borrow_mut().asked);
        for (id, _) in asked {
            let addresses = Err("no such host".to_owned());
            stage.post(Mail::Resolved { id, addresses });
        }
        stage.turn();
        tables::check_timers(stage.core()).unwrap();
        assert!(stage.core().timers.len() <= 2);
    }
    assert!(stage.gauges().push_failures > 60);
    leave(&mut stage, publisher);
    stage.wait(S(5));
    stage.end();
}

#[test]
fn a_push_target_is_connected_to_at_a_rate() {
    let mut stage = Stage::new(|config| {
        config.push = vec![Rule::parse("rtmp://target/app/{stream}").unwrap()];
    });
    let fetches = stage.shared.fetches.clone();
    let server = stage.shared.config.push[0].servers[0].authority.clone();
    while fetches
        .dial_target(&server, stage.now.duration_since(stage.born))
        .is_ok()
    {}
    let publisher = stage.publish("cam");
    stage.key_frame(publisher, 40);
    stage.settle();
    assert!(stage.network.borrow().asked.is_empty(), "it waits");
    stage.wait(S(1));
    assert_eq!(stage.network.borrow().asked.len(), 1);
    leave(&mut stage, publisher);
    stage.wait(S(5));
    stage.end();
}

#[test]
fn regression_streams_that_linger_leave_places() {
    let mut lines = Lines::new(|config| {
        pull(config);
        config.pull_linger = S(3_600);
        config.pull_timeout = S(60);
    });
    lines.stage = Stage::with(lines.stage.shared.config.clone(), 40);
    let from = |number| [10, 0, 1, number];
    for number in 0..12 {
        let name = format!("cam{number}");
        let player = lines.stage.come_from(from(number), Action::Play, &name);
        lines.pass(2);
        assert!(lines.stage.guests[player].media > 0, "{number}");
        leave(&mut lines.stage, player);
        lines.pass(1);
        let admission = &lines.stage.shared.admission;
        let expected = usize::from(number + 1).min(5);
        assert_eq!(admission.lingering(), expected);
        assert_eq!(admission.connections(), expected);
    }
    // That one is played again, and the others make room.
    let mut players = Vec::new();
    for number in 0..39 {
        players.push(lines.stage.come_from(from(number), Action::Play, "cam11"));
        lines.settle();
    }
    let admission = &lines.stage.shared.admission;
    assert_eq!((admission.lingering(), admission.connections()), (0, 40));
    assert!(players.iter().all(|&one| !lines.stage.guests[one].gone));
    players
        .into_iter()
        .for_each(|one| leave(&mut lines.stage, one));
    lines.pass(1);
    assert_eq!(lines.stage.shared.admission.lingering(), 1);
    lines.stage.now += S(3_601);
    lines.pass(8);
    lines.stage.end();
}

#[test]
fn regression_pulls_count_for_the_address_that_asked() {
    let mut lines = Lines::new(|config| {
        pull(config);
        config.pull_timeout = S(60);
    });
    lines.stage = Stage::with(lines.stage.shared.config.clone(), 40);
    let mut guests = Vec::new();
    for number in 0..20 {
        let (name, from) = (format!("cam{number}"), [10, 0, 1, 1]);
        guests.push(lines.stage.come_from(from, Action::Play, &name));
        lines.pass(1);
    }
    let admission = lines.stage.shared.clone();
    let admission = &admission.admission;
    assert!(admission.connections() <= 9, "{}", admission.connections());
    let (charged, _) = admission.dialled();
    assert!(charged >= 4, "{charged}");
    let other = lines.stage.come_from([10, 0, 1, 2], Action::Play, "other");
    lines.pass(2);
    assert!(lines.stage.guests[other].media > 0);
    assert_eq!(admission.dialled().0, charged + 1);
    // What somebody else plays as well counts for nobody, until that one has gone.
    let both = lines.stage.come_from([10, 0, 1, 2], Action::Play, "cam0");
    lines.pass(1);
    assert_eq!(admission.dialled().0, charged);
    leave(&mut lines.stage, both);
    lines.pass(1);
    assert_eq!(admission.dialled().0, charged + 1);
    guests.push(other);
    for guest in guests {
        if !lines.stage.guests[guest].gone {
            leave(&mut lines.stage, guest);
        }
    }
    lines.pass(30);
    lines.stage.end();
}

#[test]
fn regression_few_publishers_leave_pushes_for_others() {
    let mut lines = Lines::new(|config| {
        let rule = |number| Rule::parse(&format!("rtmp://target{number}/app/{{stream}}")).unwrap();
        config.push = (0..2).map(rule).collect();
    });
    lines.stage = Stage::with(lines.stage.shared.config.clone(), 40);
    let mut publishers = Vec::new();
    for number in 0..15 {
        let (address, name) = ([10, 0, 1, number % 5], format!("cam{number}"));
        publishers.push(lines.stage.come_from(address, Action::Publish, &name));
    }
    lines.pass(12);
    let taken = lines.stage.shared.admission.pushes();
    assert!((10..=14).contains(&taken), "{taken}");
    let other = lines
        .stage
        .come_from([10, 0, 1, 9], Action::Publish, "other");
    lines.pass(12);
    assert!(lines.stage.shared.admission.pushes() > taken);
    for guest in publishers.into_iter().chain([other]) {
        leave(&mut lines.stage, guest);
    }
    lines.pass(60);
    assert_eq!(lines.stage.shared.admission.dialled(), (0, 0));
    lines.stage.end();
}

#[test]
fn pushes_have_a_share_of_all_connections() {
    let mut lines = Lines::new(|config| {
        let rule = |number| Rule::parse(&format!("rtmp://target{number}/app/{{stream}}")).unwrap();
        config.push = (0..6).map(rule).collect();
        config.max_per_address = None;
    });
    lines.stage = Stage::with(lines.stage.shared.config.clone(), 20);
    let publishers: Vec<usize> = (0..4)
        .map(|number| lines.stage.publish(&format!("cam{number}")))
        .collect();
    lines.pass(12);
    let admission = &lines.stage.shared.admission;
    assert_eq!((admission.pushes(), admission.connections()), (10, 14));
    assert!(lines.stage.gauges().push_failures > 14);
    // Whoever plays finds room, and nobody who publishes has left.
    let player = lines.stage.play("cam0");
    assert!(!lines.stage.guests[player].gone);
    assert!(publishers.iter().all(|&one| !lines.stage.guests[one].gone));
    // Those of one that leaves are for the others.
    leave(&mut lines.stage, publishers[0]);
    lines.pass(40);
    assert_eq!(lines.stage.shared.admission.pushes(), 10);
    for guest in publishers.into_iter().skip(1).chain([player]) {
        leave(&mut lines.stage, guest);
    }
    lines.pass(60);
    assert_eq!(lines.stage.shared.admission.pushes(), 0);
    lines.stage.end();
}

#[test]
fn regression_origin_to_be_left_is_kept_while_it_has_media() {
    let mut lines = Lines::new(|config| {
        pull(config);
        config.pull_timeout = S(4);
        config.pull_give_up = S(6);
    });
    let player = lines.stage.play("cam");
    lines.settle();
    lines.origins[0].key_frame(0);
    lines.settle();
    lines.are_empty = true;
    lines.origins[0]
        .session
        .send_status(MessageStreamId(0), Status::ReconnectRequest, "go");
    lines.settle();
    for step in 1..200_u32 {
        lines.stage.now += MS(250);
        lines.origins[0].key_frame(250 * step);
        lines.settle();
        let (gone, count) = (lines.stage.guests[player].gone, lines.origins.len());
        assert!(!gone, "after {step}, {count} connections");
    }
    // Without media it is given up, from then on.
    for seconds in 0..6 {
        assert!(!lines.stage.guests[player].gone, "after {seconds} s");
        lines.stage.now += S(1);
        lines.settle();
    }
    assert!(lines.stage.guests[player].gone);
}
