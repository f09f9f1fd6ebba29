//! What players may have an edge do at its origins: how often, how much at one time, and that
//! those who ask for what is not there take nothing from others.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use support::origin::{Behaviour, Origin};
use support::relay::Relay;
use support::wire::{Film, Settings, Wire};
use support::{SOON, free_address, now, open_from, pause, wait_for};
use tailwater::edge::hops;
use tailwater::rtmp::message::kind;

/// A relay that fetches from `origin`.
fn edge_of(origin: SocketAddr, flags: &[&str]) -> Relay {
    let rule = format!("rtmp://{origin}");
    let mut all = vec!["--pull", &rule, "--max-per-address", "1000"];
    all.extend(flags);
    Relay::start(&all)
}

/// A relay that fetches from `origin` with the query of the player.
fn edge_by_query(origin: SocketAddr, flags: &[&str]) -> Relay {
    let rule = format!("rtmp://{origin}?{{query}}");
    let mut all = vec!["--pull", &rule, "--max-per-address", "1000"];
    all.extend(flags);
    Relay::start(&all)
}

/// How often the origin was asked with this query.
fn asked_with(origin: &Origin, query: &str) -> usize {
    let asked = origin.asked();
    let name = format!("live cam {query}");
    asked.iter().filter(|asked| **asked == name).count()
}

fn player_from(number: u8, relay: &Relay, stream: &str) -> Wire {
    let socket = open_from([127, 0, 0, number], relay.address());
    Wire::play_over(socket, stream, &Settings::default())
}

#[test]
fn waiting_plays_leave_streams_for_publishers() {
    let edge = edge_of(free_address(), &["--max-streams", "10"]);
    let players = (0..10).map(|number| Wire::play(edge.address(), &format!("nothing{number}")));
    let players: Vec<Wire> = players.collect();
    edge.wait_stat("pulls", 10);
    // All that one address has its share in.
    let _first = Wire::publish(edge.address(), "one");
    let _second = Wire::publish(edge.address(), "two");
    drop(players);
}

#[test]
fn fetched_streams_count_for_max_streams() {
    let origin = Relay::start(&[]);
    let edge = edge_of(
        origin.address(),
        &["--max-streams", "1", "--pull-give-up", "2"],
    );
    let mut films = [0, 1].map(|_| Film::new("edge", 0));
    let mut publishers = Vec::new();
    for (number, film) in films.iter_mut().enumerate() {
        let mut publisher = Wire::publish(origin.address(), &format!("cam{number}"));
        publisher.send_all(&film.headers_again(0));
        publisher.send_all(&film.group(4));
        publishers.push(publisher);
    }
    let mut player = Wire::play(edge.address(), "cam0");
    player.until_number(kind::AUDIO, 4);
    let mut second = Wire::play(edge.address(), "cam1");
    second.until_status("NetStream.Play.StreamNotFound");
    assert!(edge.stats()["refused_fetches"] > 0);
}

#[test]
fn one_address_has_a_part_of_the_connections_to_origins() {
    let origin = Origin::start(Behaviour::Silent);
    let flags = ["--pull-timeout", "60", "--max-connections", "1000"];
    let edge = edge_of(origin.address(), &flags);
    let mut players = Vec::new();
    for number in 0..40 {
        let name = format!("nothing{number}");
        players.push(Wire::play(edge.address(), &name));
    }
    edge.wait_stat("players", 40);
    pause(Duration::from_millis(600));
    let dialled = edge.stats()["connections"] - 40;
    assert!((4..=25).contains(&dialled), "{dialled} connections");
    let socket = open_from([127, 0, 0, 2], edge.address());
    let _other = Wire::play_over(socket, "other", &Settings::default());
    wait_for("a connection for another address", SOON, || {
        (edge.stats()["connections"] - 41 > dialled).then_some(())
    });
}

#[test]
fn regression_players_that_leave_at_once_cost_few_dials() {
    let origin = Relay::start(&["--workers", "1"]);
    let edge = edge_of(origin.address(), &["--http", "127.0.0.1:0"]);
    for number in 0..600 {
        use std::io::Write;
        let mut socket = TcpStream::connect(edge.http()).unwrap();
        let request = format!("GET /live/{number}.flv HTTP/1.1\r\nHost: a\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
    }
    edge.wait_stat("players", 0);
    edge.wait_stat("pulls", 0);
    let asked = origin.log().matches("accepted").count();
    assert!((1..=250).contains(&asked), "{asked} connections");
    let mut film = Film::new("edge", 0);
    let mut publisher = Wire::publish(origin.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let mut player = player_from(2, &edge, "cam");
    player.until_number(kind::AUDIO, 4);
}

#[test]
fn regression_a_missing_name_is_asked_for_ever_less_often() {
    let origin = Origin::start(Behaviour::Refuse);
    let edge = edge_of(origin.address(), &["--play-wait", "20"]);
    let _players = [0, 1, 2].map(|_| player_from(2, &edge, "nothing"));
    let begun = now();
    while begun.elapsed() < Duration::from_secs(5) {
        pause(Duration::from_millis(100));
        let asked = origin.asked().len();
        let most = 1 + usize::from(begun.elapsed() > Duration::from_millis(1_500));
        assert!(asked <= most, "{asked} after {:?}", begun.elapsed());
    }
    // Whoever has not asked yet does so at once, on whatever worker.
    let _other = player_from(3, &edge, "nothing");
    wait_for("the origin to be asked", Duration::from_millis(900), || {
        (origin.asked().len() == 3).then_some(())
    });
}

#[test]
fn regression_a_wrong_query_keeps_nobody_else_out() {
    let origin = Origin::start(Behaviour::Guard);
    let edge = edge_by_query(origin.address(), &["--play-wait", "20", "--workers", "2"]);
    let bad = edge.on_each_worker(2, || Wire::play(edge.address(), "cam?token=bad"));
    edge.wait_log(&["pull failed", "StreamNotFound"]);
    let mut good = edge.on_each_worker(2, || Wire::play(edge.address(), "cam?token=good"));
    for player in &mut good {
        player.until_number(kind::VIDEO, 1);
    }
    assert_eq!(asked_with(&origin, "token=good"), 1);
    assert!(!edge.log().contains("token"), "a query is in the log");
    drop(bad);
}

#[test]
fn regression_each_query_is_judged_by_the_origin() {
    let origin = Origin::start(Behaviour::Guard);
    let flags = [
        "--play-wait",
        "0",
        "--workers",
        "2",
        "--http",
        "127.0.0.1:0",
    ];
    let edge = edge_by_query(origin.address(), &flags);
    let mut first = Wire::play(edge.address(), "cam?token=good1");
    first.until_number(kind::VIDEO, 1);
    for query in ["?token=bad", "?", ""] {
        let mut player = Wire::play(edge.address(), &format!("cam{query}"));
        player.until_status("NetStream.Play.StreamNotFound");
    }
    let answer = get(&edge, "/live/cam.flv?token=bad");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    for query in ["token=good1", "token=good2"] {
        let name = format!("cam?{query}");
        let mut players = edge.on_each_worker(2, || Wire::play(edge.address(), &name));
        for player in &mut players {
            player.until_number(kind::VIDEO, 1);
        }
        assert_eq!(asked_with(&origin, query), 1);
    }
    edge.wait_stat("pulls", 1);
}

#[test]
fn what_is_published_at_an_edge_is_not_an_origins_to_judge() {
    let origin = Origin::start(Behaviour::Guard);
    let edge = edge_by_query(origin.address(), &["--play-wait", "20"]);
    let mut early = Wire::play(edge.address(), "cam?token=bad1");
    edge.wait_log(&["pull failed", "StreamNotFound"]);
    let mut film = Film::new("here", 0);
    let mut publisher = Wire::publish(edge.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let mut player = Wire::play(edge.address(), "cam?token=bad2");
    player.until_number(kind::AUDIO, 4);
    early.until_number(kind::AUDIO, 4);
}

/// The head of the answer to a GET of `path`.
fn get(relay: &Relay, path: &str) -> String {
    use std::io::{Read, Write};
    let mut socket = TcpStream::connect(relay.http()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 512];
    let count = socket.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

/// Settings of a client that says it has come through `count` relays.
fn through(count: u64) -> Settings {
    let relays: Vec<String> = (0..count).map(|relay| format!("{relay:016x}")).collect();
    Settings {
        property: (hops::VIA_KEY, relays.join(",")),
        ..Settings::default()
    }
}

#[test]
fn regression_a_long_chain_keeps_nobody_else_out() {
    let origin = Relay::start(&[]);
    let mut film = Film::new("edge", 0);
    let edge = edge_of(origin.address(), &["--workers", "1"]);
    // As long as it may be here, and too long for the origin behind it.
    let mut longest = Wire::play_with(edge.address(), "cam", &through(7));
    longest.until_status("NetStream.Play.StreamNotFound");
    assert!(!edge.log().contains("dialled"));
    let waits = Wire::play_with(edge.address(), "cam", &through(6));
    edge.wait_log(&["pull failed", "StreamNotFound"]);
    let mut publisher = Wire::publish(origin.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    let _also = Wire::play_with(edge.address(), "cam", &through(7));
    let mut player = player_from(2, &edge, "cam");
    player.until_number(kind::AUDIO, 4);
    drop(waits);
}

#[test]
fn a_marker_of_another_form_says_nothing() {
    let origin = Relay::start(&[]);
    let mut film = Film::new("edge", 0);
    let edge = edge_of(origin.address(), &[]);
    let mut publisher = Wire::publish(origin.address(), "cam");
    publisher.send_all(&film.headers_again(0));
    publisher.send_all(&film.group(4));
    for via in ["1.1 proxy.example".to_owned(), "a,".repeat(9_000)] {
        let settings = Settings {
            property: (hops::VIA_KEY, via),
            ..Settings::default()
        };
        let mut player = Wire::play_with(edge.address(), "cam", &settings);
        player.until_number(kind::AUDIO, 4);
    }
}

#[test]
fn dialled_connections_are_within_max_connections() {
    let origin = Relay::start(&[]);
    let edge = edge_of(
        origin.address(),
        &["--max-connections", "2", "--pull-give-up", "1"],
    );
    let mut here = Wire::publish(edge.address(), "here");
    let mut player = player_from(2, &edge, "cam");
    player.until_status("NetStream.Play.StreamNotFound");
    edge.wait_log(&["pull failed", "too many connections"]);
    here.send_all(&Film::new("here", 0).group(1));
    edge.wait_stat("connections", 1);
}
