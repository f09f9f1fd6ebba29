//! Encoders that publish several streams on one connection, a message stream for each: FMLE and
//! Flash programs that send several bit rates.

use std::time::Duration;

use support::now;
use support::packets::assert_list;
use support::relay::Relay;
use support::wire::{Film, Media, Seen, Wire, media_of, signals_of};
use tailwater::rtmp::control::UserControl;
use tailwater::rtmp::message::{MessageStreamId, kind};
use tailwater_testkit::commands;

const NAMES: [&str; 3] = ["low", "mid", "high"];

/// What is published on message stream `index + 1`, and its players, one on each worker.
struct Rung {
    msid: MessageStreamId,
    film: Film,
    players: Vec<Wire>,
}

impl Rung {
    /// Sends some media, which its players get, and no other.
    #[track_caller]
    fn go_on(&mut self, publisher: &mut Wire, media: &[Media]) {
        for message in media {
            publisher.send_on(self.msid.0, message);
        }
        let number = media.last().and_then(Media::number).unwrap();
        for player in &mut self.players {
            let seen = player.until_number(kind::AUDIO, number);
            let what = format!("player of message stream {}", self.msid);
            assert_list(&what, &media_of(&seen), media);
        }
    }

    #[track_caller]
    fn more(&mut self, publisher: &mut Wire) {
        let media = self.film.group(2);
        self.go_on(publisher, &media);
    }

    /// Its players are told that it is over.
    #[track_caller]
    fn expect_end(mut self) {
        for player in &mut self.players {
            let seen = player.until_closed();
            let told = [
                Seen::Control(UserControl::StreamEof(MessageStreamId(1))),
                Seen::status("NetStream.Play.UnpublishNotify"),
                Seen::Closed(true),
            ];
            assert_eq!(signals_of(&seen).last_chunk::<3>(), Some(&told));
        }
    }
}

/// createStream, then publish of `stream` on what that gives.
#[track_caller]
fn publish_another(publisher: &mut Wire, msid: u32, stream: &str) {
    publisher.command(0, commands::create_stream());
    ask_to_publish(publisher, msid, stream);
    until_status(publisher, MessageStreamId(msid), "NetStream.Publish.Start");
}

fn ask_to_publish(publisher: &mut Wire, msid: u32, stream: &str) {
    publisher.command(msid, commands::of_stream("publish", stream));
}

#[track_caller]
fn until_status(wire: &mut Wire, msid: MessageStreamId, code: &str) {
    let wanted = Seen::Status(msid.0, code.to_owned());
    wire.until(code, |seen| *seen == wanted);
}

/// One connection publishes all of [`NAMES`], and each has players.
#[track_caller]
fn begin(relay: &Relay, workers: usize) -> (Wire, Vec<Rung>) {
    let mut rungs = Vec::new();
    for (msid, name) in (1..).zip(NAMES) {
        let players = relay.on_each_worker(workers, || Wire::play(relay.address(), name));
        let film = Film::new(name, 0).numbered_from(1_000 * msid);
        rungs.push(Rung {
            msid: MessageStreamId(msid),
            film,
            players,
        });
    }
    let mut publisher = Wire::publish(relay.address(), NAMES[0]);
    publish_another(&mut publisher, MessageStreamId(2).0, NAMES[1]);
    publish_another(&mut publisher, MessageStreamId(3).0, NAMES[2]);
    for rung in &mut rungs {
        let mut media = rung.film.headers.clone();
        media.extend(rung.film.group(2));
        rung.go_on(&mut publisher, &media);
    }
    (publisher, rungs)
}

#[test]
fn regression_several_publishes_of_a_connection() {
    for workers in ["1", "2"] {
        let relay = Relay::start(&["--workers", workers, "--grace", "1", "--play-wait", "60"]);
        let (mut publisher, mut rungs) = begin(&relay, workers.parse().unwrap());
        for _ in 0..2 {
            for rung in &mut rungs {
                rung.more(&mut publisher);
            }
        }
        // One ends, as FMLE ends it.
        publisher.command(0, commands::of_stream("FCUnpublish", "mid"));
        until_status(
            &mut publisher,
            MessageStreamId(2),
            "NetStream.Unpublish.Success",
        );
        let mid = rungs.remove(1);
        for rung in &mut rungs {
            rung.more(&mut publisher);
        }
        mid.expect_end();
        for rung in &mut rungs {
            rung.more(&mut publisher);
        }
        // With the connection all of them end.
        drop(publisher);
        rungs.into_iter().for_each(Rung::expect_end);
    }
}

#[test]
fn as_many_publishes_as_message_streams() {
    let relay = Relay::start(&[]);
    let mut publisher = Wire::publish(relay.address(), "stream1");
    for msid in 2..=8 {
        publish_another(
            &mut publisher,
            MessageStreamId(msid).0,
            &format!("stream{msid}"),
        );
    }
    // A ninth message stream is refused, and all go on.
    publisher.command(0, commands::create_stream());
    publisher.settle();
    for msid in 1..=8 {
        let mut player = Wire::play(relay.address(), &format!("stream{msid}"));
        publisher.send_on(MessageStreamId(msid).0, &Media::sound(40, msid, 200));
        player.until_number(kind::AUDIO, msid);
    }
}

#[test]
fn a_refused_publish_leaves_the_others() {
    let relay = Relay::start(&["--workers", "2", "--play-wait", "60"]);
    let (mut publisher, mut rungs) = begin(&relay, 2);
    publisher.command(0, commands::create_stream());
    // What others publish, on the same worker and on the other one, and its own.
    let mut holders = Vec::new();
    for number in 1..=6 {
        let name = format!("busy{number}");
        holders.push(Wire::publish(relay.address(), &name));
        ask_to_publish(&mut publisher, MessageStreamId(4).0, &name);
        until_status(
            &mut publisher,
            MessageStreamId(4),
            "NetStream.Publish.BadName",
        );
    }
    ask_to_publish(&mut publisher, MessageStreamId(4).0, "low");
    until_status(
        &mut publisher,
        MessageStreamId(4),
        "NetStream.Publish.BadName",
    );
    for rung in &mut rungs {
        rung.more(&mut publisher);
    }
    // Another name is taken on the same message stream.
    ask_to_publish(&mut publisher, MessageStreamId(4).0, "free");
    until_status(
        &mut publisher,
        MessageStreamId(4),
        "NetStream.Publish.Start",
    );
}

#[test]
fn a_takeover_of_one_leaves_the_others() {
    let relay = Relay::start(&[
        "--workers",
        "2",
        "--play-wait",
        "60",
        "--takeover",
        "replace",
    ]);
    let (mut publisher, mut rungs) = begin(&relay, 2);
    let mut new = Wire::publish(relay.address(), "mid");
    until_status(
        &mut publisher,
        MessageStreamId(2),
        "NetStream.Publish.BadName",
    );
    let mut film = Film::new("new", 0).numbered_from(9_000);
    new.send_all(&film.headers);
    new.send_all(&film.group(2));
    for player in &mut rungs[1].players {
        player.until_number(kind::AUDIO, 9_002);
    }
    rungs.remove(1);
    for rung in &mut rungs {
        rung.more(&mut publisher);
    }
}

/// A connection that publishes no longer is still where publishers are, which are looked at once a
/// beat: with nobody else publishing there was none, and each answer took up to 250 ms.
#[test]
fn regression_answers_after_a_publish_are_not_late() {
    let relay = Relay::start(&["--workers", "1", "--pace", "100", "--setup-timeout", "60"]);
    let mut publisher = Wire::publish(relay.address(), "stream");
    publisher.command(1, commands::close_stream());
    publisher.until_status("NetStream.Unpublish.Success");
    let answers = (0..20).map(|_| {
        let begun = now();
        publisher.settle();
        begun.elapsed()
    });
    // Each but the first is asked for just after a turn.
    let fastest = answers.skip(1).min().unwrap();
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}
