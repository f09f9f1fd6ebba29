//! A publisher that goes without a word. Its players are told or go on with the next publisher,
//! and its name is free again in seconds.

use std::io::Write;
use std::time::Duration;

use rustix::process::Signal;

use crate::bystanders::{beside, opening};
use crate::network::Network;
use crate::{raw, together};
use support::media::{self, H264_AAC};
use support::packets::assert_list;
use support::publishers::{Program, Speed};
use support::relay::Relay;
use support::wire::{Film, Seen, Settings, Wire, media_of, signals_of};
use support::{BUSY, SOON, now, pause, wait_for};
use tailwater::rtmp::client::Action;
use tailwater_testkit::commands;

/// The death of a process, or its reset, has to be known long before `--publish-idle`, 15 s.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Another publisher takes the name within a second of `death`, though names in use are refused,
/// and the player goes on with it.
#[track_caller]
fn makes_way_after(relay: &Relay, mut player: Wire, death: impl FnOnce()) {
    let mut seen = player.until("film of the first publisher", |seen| {
        seen.media().is_some_and(|media| media.is_key())
    });
    let died = now();
    death();
    relay.wait_log(&["closed role=publisher"]);
    let took = died.elapsed();
    assert!(took < AT_ONCE, "noticed after {took:?}");
    let mut film = Film::new("second", 0).numbered_from(1_000_000);
    let mut second = Wire::publish(relay.address(), "film");
    let sent = opening(&mut film);
    second.send_all(&sent);
    let last = sent.last().unwrap();
    seen.extend(player.until_number(last.kind, last.number().unwrap()));
    let took = died.elapsed();
    assert!(took < 2 * AT_ONCE, "the player goes on after {took:?}");
    let again = Seen::status("NetStream.Play.UnpublishNotify");
    assert!(!seen.contains(&again), "the player was sent away");
    assert!(!seen.iter().any(|seen| matches!(seen, Seen::Closed(_))));
}

#[test]
fn a_killed_publisher_is_known_to_be_gone_within_a_second() {
    let _turn = together();
    let relay = Relay::start(&["--grace", "10", "--takeover", "refuse"]);
    let file = media::file(&H264_AAC);
    let player = Wire::play(relay.address(), "film");
    let url = relay.url("film");
    let mut first = Program::Ffmpeg5.publish(&file, &url, Speed::RealTime, relay.dir());
    makes_way_after(&relay, player, || {
        first.signal(Signal::KILL);
        first.wait(SOON);
    });
}

#[test]
fn a_publisher_that_resets_is_known_to_be_gone_within_a_second() {
    let _turn = together();
    let relay = Relay::start(&["--grace", "10", "--takeover", "refuse"]);
    let player = Wire::play(relay.address(), "film");
    let mut first = raw::publish(relay.address(), "film");
    let mut film = Film::new("first", 0);
    for media in opening(&mut film) {
        first.write_all(&raw::message(&media)).unwrap();
    }
    makes_way_after(&relay, player, || raw::reset(first));
}

#[test]
fn without_grace_the_players_of_a_killed_publisher_are_told_within_a_second() {
    let _turn = together();
    let relay = Relay::start(&["--grace", "0"]);
    let mut player = Wire::play(relay.address(), "film");
    let mut first = raw::publish(relay.address(), "film");
    let mut film = Film::new("first", 0);
    let sent = opening(&mut film);
    for media in &sent {
        first.write_all(&raw::message(media)).unwrap();
    }
    let last = sent.last().unwrap();
    player.until_number(last.kind, last.number().unwrap());
    let died = now();
    raw::reset(first);
    let told = signals_of(&player.until_closed());
    assert!(died.elapsed() < AT_ONCE, "told after {:?}", died.elapsed());
    let notice = Seen::status("NetStream.Play.UnpublishNotify");
    assert!(told.contains(&notice), "{told:?}");
}

#[test]
fn a_publisher_behind_a_dead_link_is_given_up_and_another_takes_its_name() {
    let _turn = together();
    let network = Network::new();
    let listen = [&*network.listen(), "127.0.0.1:0"];
    let flags = [
        "--publish-idle",
        "2",
        "--grace",
        "10",
        "--takeover",
        "refuse",
    ];
    let relay = Relay::start_on(&listen, &flags);
    let near = relay.addresses()[1];
    let mut player = Wire::play(near, "film");
    let far = relay.address();
    let mut first = network.inside(|| Wire::publish(far, "film"));
    let mut film = Film::new("first", 0);
    let sent = opening(&mut film);
    first.send_all(&sent);
    let last = sent.last().unwrap();
    player.until_number(last.kind, last.number().unwrap());

    network.cut();
    let cut = now();
    // It knows nothing of it and goes on sending.
    first.send_all(&film.group(3));
    let mut refusals = 0;
    let mut second = wait_for("name that is free again", SOON, || {
        let asked = Settings::default();
        let mut wire = Wire::connect(near, "film", Action::Publish, &asked);
        let seen = wire.until("answer to the publish", |seen| {
            matches!(seen, Seen::Status(..) | Seen::Closed(_))
        });
        let start = Seen::status("NetStream.Publish.Start");
        if seen.contains(&start) {
            return Some(wire);
        }
        refusals += 1;
        pause(Duration::from_millis(200));
        None
    });
    let took = cut.elapsed();
    let bounds = Duration::from_millis(1_500)..Duration::from_secs(6);
    assert!(bounds.contains(&took), "free after {took:?}");
    assert!(refusals > 0, "before that it is refused");
    relay.wait_log(&["role=publisher ", "reason=publish_idle "]);

    let mut film = Film::new("second", 0).numbered_from(1_000_000);
    let sent = opening(&mut film);
    second.send_all(&sent);
    let last = sent.last().unwrap();
    let seen = player.until_number(last.kind, last.number().unwrap());
    let notice = Seen::status("NetStream.Play.UnpublishNotify");
    assert!(!seen.contains(&notice), "the player was sent away");
    relay.wait_stat("publishers", 1);
}

#[test]
fn a_short_cut_of_the_network_costs_a_publisher_nothing() {
    let _turn = together();
    let network = Network::new();
    let listen = [&*network.listen(), "127.0.0.1:0"];
    let relay = Relay::start_on(&listen, &["--publish-idle", "10"]);
    let near = relay.addresses()[1];
    let far = relay.address();
    let mut player = Wire::play(near, "film");
    let mut publisher = network.inside(|| Wire::publish(far, "film"));
    let mut film = Film::new("film", 0);
    let mut sent = opening(&mut film);
    publisher.send_all(&sent);
    let last = sent.last().unwrap().clone();
    let mut got = media_of(&player.until_number(last.kind, last.number().unwrap()));
    let begun = now();
    network.cut();
    let more = film.more(30);
    sent.extend_from_slice(&more);
    std::thread::scope(|scope| {
        // It waits when its socket is full, as an encoder does.
        scope.spawn(|| publisher.send_in_time(&more, || false));
        let nothing = player.next(Duration::from_millis(1_500));
        assert_eq!(nothing, None, "it is cut");
        network.mend();
    });
    let last = sent.last().unwrap().clone();
    got.extend(media_of(
        &player.until_number(last.kind, last.number().unwrap()),
    ));
    assert_list("what was sent", &got, &sent);
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(8) + BUSY,
        "caught up after {took:?}"
    );
}

#[test]
fn publishers_that_die_beside_others_cost_these_nothing() {
    let _turn = together();
    let relay = Relay::start(&["--workers", "2", "--grace", "0"]);
    beside(&relay, 2, || {
        for round in 0..15 {
            let name = format!("film-{round}");
            let mut dying: Vec<_> = (0..5)
                .map(|number| raw::publish(relay.address(), &format!("{name}-{number}")))
                .collect();
            let mut film = Film::new("film", 0);
            for media in opening(&mut film) {
                let bytes = raw::message(&media);
                for socket in &mut dying {
                    // In the middle of a message.
                    socket.write_all(&bytes[..bytes.len() - 1]).unwrap();
                    socket.write_all(&bytes[bytes.len() - 1..]).unwrap();
                }
            }
            for socket in &mut dying {
                let rest = raw::message(&film.group(0)[0]);
                socket.write_all(&rest[..rest.len() / 2]).unwrap();
            }
            dying.into_iter().for_each(raw::reset);
        }
    });
    relay.wait_stat("streams", 0);
    relay.wait_stat("connections", 0);
}

#[test]
fn regression_a_publisher_that_stops_and_publishes_again_is_kept() {
    let _turn = together();
    let relay = Relay::start(&["--workers", "1", "--grace", "5"]);
    let mut player = Wire::play(relay.address(), "film");
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut film = Film::new("film", 0);
    for _ in 0..3 {
        publisher.send_all(&opening(&mut film));
        publisher.command(1, commands::close_stream());
        publisher.command(1, commands::publish("film"));
        let seen = publisher.until("answer to the publish", |seen| {
            *seen == Seen::status("NetStream.Publish.Start") || matches!(seen, Seen::Closed(_))
        });
        let closed = matches!(seen.last(), Some(Seen::Closed(_)));
        assert!(!closed, "{seen:?}\n{}", relay.log());
    }
    let sent = opening(&mut film);
    publisher.send_all(&sent);
    let last = sent.last().unwrap();
    player.until_number(last.kind, last.number().unwrap());
}
