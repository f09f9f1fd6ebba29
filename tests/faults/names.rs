//! A server for names that does not answer: who waits for it waits, and nobody else does.

#![expect(
    clippy::disallowed_methods,
    reason = "the server for names is a thread of its own"
)]

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tailwater::edge::order::order;
use tailwater::rtmp::client::Action;
use tailwater::rtmp::message::kind;

use crate::together;
use support::relay::{Relay, binary};
use support::wire::{Film, Seen, Wire};
use support::{SOON, now, pause, scratch, wait_for};

/// A server for names on an address of its own. It keeps questions until it may answer, and says
/// then that every name is 127.0.0.1.
struct Names {
    address: String,
    asked: AtomicUsize,
    answers: AtomicBool,
    stopped: AtomicBool,
}

impl Names {
    fn start() -> Arc<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("127.{}.{high}.{}", 53 + number, low.max(1));
        let socket = UdpSocket::bind((address.as_str(), 53)).expect("root may have port 53");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let names = Arc::new(Self {
            address,
            asked: AtomicUsize::new(0),
            answers: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let own = names.clone();
        thread::spawn(move || own.serve(&socket));
        names
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut kept = Vec::new();
        let mut buffer = [0; 512];
        while !self.stopped.load(Ordering::Relaxed) {
            if let Ok((count, from)) = socket.recv_from(&mut buffer) {
                kept.push((buffer[..count].to_vec(), from));
                self.asked.fetch_add(1, Ordering::Relaxed);
            }
            if self.answers.load(Ordering::Relaxed) {
                for (question, to) in kept.drain(..) {
                    socket.send_to(&answer(&question), to).unwrap();
                }
            }
        }
    }
}

/// Stops it with the test.
struct Stop(Arc<Names>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

/// What a question for an address is answered: 127.0.0.1, and that there is no IPv6. RFC 1035
/// §4.1.
fn answer(question: &[u8]) -> Vec<u8> {
    // Behind 12 bytes: a name of labels, each behind its length, then type and class.
    let mut end = 12;
    while question[end] > 0 {
        end += 1 + usize::from(question[end]);
    }
    let is_for_ipv4 = question[end + 1..end + 3] == [0, 1];
    let mut answer = question[..end + 5].to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..12].copy_from_slice(&[0, u8::from(is_for_ipv4), 0, 0, 0, 0]);
    if is_for_ipv4 {
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

/// A relay that asks `names`.
fn relay_with(names: &Names, flags: &[&str]) -> Relay {
    let settings = scratch("names").join("resolv.conf");
    let text = format!(
        "nameserver {}\noptions timeout:20 attempts:1\n",
        names.address
    );
    std::fs::write(&settings, text).unwrap();
    let common = "--listen 127.0.0.1:0 --workers 1 --log debug --stats-interval 200ms";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg(format!(
        "mount --bind {} /etc/resolv.conf && exec {} {common} {}",
        settings.display(),
        binary(),
        flags.join(" ")
    ));
    Relay::start_command(&mut command, 1)
}

#[test]
fn a_name_that_is_not_answered_delays_those_alone_who_wait_for_it() {
    let _turn = together();
    let names = Names::start();
    let _stop = Stop(names.clone());
    let (origin, target) = (Relay::start(&[]), Relay::start(&[]));
    let port = origin.address().port();
    // One worker: what blocked it would block everybody.
    let flags = [
        "--pull-timeout 30 --pull-give-up 40 --play-wait 20",
        &format!("--pull slow=rtmp://origin.example:{port}/live"),
        &format!("--pull live=rtmp://127.0.0.1:{port}"),
        &format!("--pull named=rtmp://localhost:{port}/live"),
        &format!(
            "--push out=rtmp://target.example:{}/live",
            target.address().port()
        ),
    ];
    let edge = relay_with(&names, &flags);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(origin.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let play = |app: &str| Wire::connect_to(edge.address(), app, "cam", Action::Play);
    let mut slow = play("slow");
    slow.settle();
    let mut pushed = Wire::connect_to(edge.address(), "out", "out", Action::Publish);
    pushed.until_status("NetStream.Publish.Start");
    // Each name is asked for in IPv4 and IPv6.
    wait_for("questions", SOON, || {
        (names.asked.load(Ordering::Relaxed) >= 4).then_some(())
    });
    for app in ["live", "named"] {
        // While no name is answered.
        play(app).until_number(kind::AUDIO, 4);
    }
    pause(Duration::from_millis(500));
    assert_eq!(edge.stats()["pushes"], 0);
    let early = slow.next(Duration::from_millis(10));
    assert!(!matches!(early, Some(Seen::Media(_))), "{early:?}");
    assert!(!edge.log().contains("failed"), "the wait is no failure");
    names.answers.store(true, Ordering::Relaxed);
    slow.until_number(kind::AUDIO, 4);
    edge.wait_stat("pushes", 1);
}

#[test]
fn an_origin_whose_name_is_not_answered_makes_room_for_the_next() {
    let _turn = together();
    let names = Names::start();
    let _stop = Stop(names.clone());
    let origin = Relay::start(&[]);
    let [slow, good] = [
        "origin.example:1935".to_owned(),
        origin.address().to_string(),
    ];
    // One that is asked for at the slow one first.
    let stream = (0..).map(|number| format!("cam{number}")).find(|stream| {
        let key = format!("live/{stream}");
        order(&key, [&*slow, &*good].into_iter())[0] == 0
    });
    let stream = stream.unwrap();
    let rule = format!("--pull rtmp://{slow},rtmp://{good}");
    let edge = relay_with(&names, &["--pull-timeout 1 --pull-give-up 15", &rule]);
    let mut film = Film::new("film", 0);
    let mut publisher = Wire::publish(origin.address(), &stream);
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let asked = now();
    let mut player = Wire::play(edge.address(), &stream);
    player.until_number(kind::AUDIO, 4);
    let took = asked.elapsed();
    // Long before --pull-give-up.
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert!(names.asked.load(Ordering::Relaxed) > 0);
    edge.wait_log(&["pull failed", "looked up"]);
}
