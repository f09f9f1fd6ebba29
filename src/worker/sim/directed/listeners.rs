//! Who connects while descriptors are short, from a proxy, or while the relay stops.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use super::super::wire::{End, SimSocket, Wire};
use super::{HTTP, MS, RTMP, S, Stage};
use crate::config::listen::Proxies;
use crate::limits;
use crate::worker::mail::Mail;

/// Somebody connects to a listener from `address`, and has sent `bytes`.
fn connect(stage: &Stage, listener: usize, address: &str, bytes: &[u8]) -> Rc<RefCell<Wire>> {
    let wire = Rc::new(RefCell::new(Wire::new(1 << 16, 1 << 16)));
    wire.borrow_mut().client_send(bytes, usize::MAX);
    let socket = SimSocket {
        client: 500,
        wire: wire.clone(),
    };
    let peer: SocketAddr = address.parse().unwrap();
    stage.reactor().connect(listener, socket, peer);
    wire
}

fn is_open(wire: &Rc<RefCell<Wire>>) -> bool {
    !wire.borrow().relay_gone
}

/// Connections in use, those that wait for a header among them, and newcomers.
fn counted(stage: &Stage) -> [usize; 3] {
    let admission = &stage.shared.admission;
    let pending = stage.pending();
    [admission.connections(), pending, admission.newcomers()]
}

#[test]
fn accepting_goes_on_when_there_are_descriptors_again() {
    let mut stage = Stage::new(|_| {});
    stage.reactor_mut().faults.permille = 1_000;
    let wire = connect(&stage, RTMP, "10.0.0.1:1000", &[]);
    stage.turn();
    assert_eq!(stage.gauges().accept_pauses, 1);
    stage.reactor_mut().faults.permille = 0;
    stage.turn();
    assert_eq!(stage.reactor().waiting(), 1, "it pauses");
    assert!(stage.timeout(stage.now).unwrap() <= limits::ACCEPT_PAUSE);
    stage.now += limits::ACCEPT_PAUSE;
    stage.turn();
    assert_eq!(counted(&stage), [1, 0, 1]);
    assert!(is_open(&wire));
}

#[test]
fn a_turn_accepts_so_many_and_the_next_ones_the_rest() {
    let mut stage = Stage::new(|config| config.max_per_address = None);
    let most = limits::ACCEPTS_PER_TURN;
    let wires: Vec<_> = (0..=most)
        .map(|_| connect(&stage, RTMP, "10.0.0.1:1000", &[]))
        .collect();
    stage.turn();
    assert_eq!(stage.reactor().waiting(), 1);
    assert_eq!(stage.timeout(stage.now), Some(S(0)));
    stage.turn();
    assert_eq!(stage.reactor().waiting(), 0);
    assert!(wires.iter().all(is_open));
}

#[test]
fn clients_behind_a_proxy_count_by_their_own_address() {
    let mut stage = Stage::new(|config| {
        config.proxy_protocol = vec![Proxies::parse("10.9.9.9").unwrap()];
        config.handshake_timeout = S(2);
    });
    let proxy = "10.9.9.9:1000";
    let silent = connect(&stage, RTMP, proxy, b"PROXY TCP4 10.");
    let wrong = connect(&stage, RTMP, proxy, b"\x03");
    let plain = connect(&stage, HTTP, proxy, b"GET / HTTP/1.1\r\n");
    let header = b"PROXY TCP4 10.0.0.7 10.0.0.8 1000 1935\r\n";
    let (first, rest) = header.split_at(9);
    let split = connect(&stage, RTMP, proxy, first);
    stage.turn();
    assert!(!is_open(&wrong), "it has no header");
    assert!(is_open(&plain), "it says in each request who the client is");
    assert_eq!(counted(&stage), [3, 2, 3]);
    split.borrow_mut().client_send(rest, usize::MAX);
    stage.turn();
    assert_eq!(counted(&stage), [3, 1, 3]);
    let peers = stage.core().conns.iter().map(|(_, conn)| conn.peer());
    let client = "10.0.0.7:1000".parse().unwrap();
    assert_eq!(peers.filter(|peer| *peer == client).count(), 1);
    assert!(stage.timeout(stage.now).unwrap() <= S(2));
    stage.wait(S(2));
    assert!(!is_open(&silent));
    assert_eq!(stage.pending(), 0);
    stage.end();
}

#[test]
fn connections_in_the_backlog_are_accepted_at_the_stop() {
    let mut stage = Stage::new(|config| {
        config.proxy_protocol = vec![Proxies::parse("10.9.9.9").unwrap()];
        config.drain = S(0);
    });
    let silent = connect(&stage, RTMP, "10.9.9.9:1000", b"PROXY TCP4 10.");
    stage.turn();
    let on_the_way = connect(&stage, RTMP, "10.0.0.1:1000", &[]);
    stage.post(Mail::Drain);
    stage.turn();
    assert_eq!(stage.reactor().waiting(), 0, "it was accepted");
    let late = connect(&stage, RTMP, "10.0.0.1:1000", &[]);
    assert!(!is_open(&late), "its request was dropped");
    stage.now += limits::LISTEN_ON - MS(1);
    stage.turn();
    assert!(!stage.is_over && is_open(&silent));
    assert!(stage.reactor().is_listening());
    assert!(stage.timeout(stage.now).unwrap() <= MS(1));
    stage.now += MS(1);
    stage.turn();
    assert!(!stage.reactor().is_listening());
    assert!(!is_open(&silent), "it is waited for no longer");
    on_the_way.borrow_mut().client_ends(End::Closed);
    stage.turn();
    assert_eq!(counted(&stage), [0; 3]);
    assert!(stage.is_over && !is_open(&on_the_way));
}

#[test]
fn clients_that_read_nothing_do_not_delay_the_end() {
    let mut stage = Stage::new(|config| config.drain = S(2));
    let source = stage.publish("cam");
    stage.guests[source].gone = true;
    let begun = stage.now;
    stage.post(Mail::Drain);
    stage.turn();
    // It is late to tell and close its clients, which have a second from then on to take that.
    stage.now = begun + S(2) + MS(600);
    stage.turn();
    assert!(stage.core().draining.is_done() && !stage.is_over);
    stage.now = begun + S(3) - MS(1);
    stage.settle();
    assert!(!stage.is_over);
    assert_eq!(stage.timeout(stage.now), Some(MS(1)));
    stage.now += MS(1);
    stage.turn();
    assert!(stage.is_over);
    assert_eq!(counted(&stage)[0], 1, "it is not waited for");
    let late = connect(&stage, RTMP, "10.0.0.1:1000", &[]);
    assert!(!is_open(&late), "nobody listens");
    stage.post(Mail::Drain);
    let mailbox = &stage.shared.mailboxes[stage.core().worker];
    mailbox.peek(|mail| panic!("nobody reads {mail:?}"));
}
