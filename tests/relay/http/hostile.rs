//! What peers that mean harm send to an HTTP port: the families W1 to W3, and H2 and H3 as far as
//! they are about HTTP. Each against a session in memory, cut everywhere, and against the binary,
//! where healthy players in each way lose nothing meanwhile.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tailwater::http::HttpError;
use tailwater::http::response::Response;
use tailwater::http::session::HttpSession;
use tailwater::limits;

use super::cases::{Case, End, frames, get, requests};
use super::relay_with;
use support::http::{Ending, FlvPlayer, Http, Way};
use support::relay::Relay;
use support::wire::{Film, Media, Wire, media_of, open};
use support::{SOON, now, pause, wait_for};

/// What a session makes of bytes that come in pieces: what it says, how it ends, how many
/// requests it gave, and the most it held.
fn session(pieces: &[&[u8]]) -> (Vec<u8>, Option<HttpError>, usize, usize) {
    let mut session = HttpSession::default();
    let (mut said, mut requests, mut most) = (Vec::new(), 0, 0);
    for piece in pieces {
        let mut at = 0;
        loop {
            let next = session.next(piece, &mut at);
            most = most.max(session.memory_bytes());
            let is_over = match next {
                Ok(Some(ref request)) => {
                    requests += 1;
                    if request.path.ends_with("film.flv") {
                        session.begin_stream(b"FLV");
                    } else {
                        session.answer(Response::text(200, "here"));
                    }
                    false
                }
                Ok(None) => at == piece.len() && !session.has_more(),
                Err(_) => true,
            };
            said.extend_from_slice(session.pending());
            let len = session.pending().len();
            session.out().advance(len);
            if let Err(error) = next {
                assert!(session.is_done(), "{error:?}");
                return (said, Some(error), requests, most);
            }
            if is_over {
                break;
            }
        }
    }
    (said, None, requests, most)
}

#[test]
fn a_session_reads_the_same_in_pieces_and_holds_little() {
    let upgrade = Way::WebSocket.request("/live/film.flv", "").into_bytes();
    let frames = frames().into_iter().map(|case| Case {
        bytes: [&upgrade[..], &case.bytes].concat(),
        ..case
    });
    for case in requests().into_iter().chain(frames) {
        let bytes = &case.bytes[..case.bytes.len().min(40_000)];
        let whole = session(&[bytes]);
        assert!(
            whole.3 < 3 * limits::HTTP_INPUT_BYTES_MAX,
            "{}: {} held",
            case.name,
            whole.3
        );
        let is_ended = matches!(
            case.end,
            End::Refused(_) | End::Cut | End::Closed | End::Breaks
        );
        assert_eq!(whole.1.is_some(), is_ended, "{}: {:?}", case.name, whole.1);
        // Every cut of short ones; of long ones those near the beginning and some others.
        let step = (bytes.len() / 300).max(1);
        let cuts = (0..bytes.len().min(200)).chain((0..bytes.len()).step_by(step));
        for cut in cuts {
            let (one, two) = bytes.split_at(cut);
            let cut_in_two = session(&[one, two]);
            assert_eq!(cut_in_two.0, whole.0, "{} cut at {cut}", case.name);
            assert_eq!(
                (cut_in_two.1, cut_in_two.2),
                (whole.1, whole.2),
                "{} at {cut}",
                case.name
            );
        }
        for size in [1, 3, 1_000] {
            let bytes = &bytes[..bytes.len().min(12_000 * size)];
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let (said, error, count, _) = session(&pieces);
            if bytes.len() == case.bytes.len().min(40_000) {
                assert_eq!(
                    (said, error, count),
                    (whole.0.clone(), whole.1, whole.2),
                    "{}: {size}",
                    case.name
                );
            }
        }
    }
}

/// Plays one case against the binary; an error says what was otherwise.
fn try_live(relay: &Relay, case: &Case) -> Result<(), String> {
    let mut http = Http::connect(relay.http());
    http.send(&case.bytes);
    let has_body = !case.bytes.starts_with(b"HEAD");
    let next = |http: &mut Http| {
        let head = http.head(SOON)?;
        let len = head
            .field("content-length")
            .and_then(|len| len.parse().ok());
        http.skip(len.filter(|_| has_body).unwrap_or(0));
        Some(head.status)
    };
    match &case.end {
        End::Refused(wanted) => {
            let status = next(&mut http);
            if status != Some(*wanted) {
                return Err(format!("answered with {status:?}, not {wanted}"));
            }
        }
        End::Lives(count) => {
            for number in 0..*count {
                let status = next(&mut http);
                if status != Some(200) {
                    return Err(format!("answer {number} is {status:?}"));
                }
            }
        }
        End::NoName => match next(&mut http) {
            Some(400 | 404) => return Ok(()),
            other => return Err(format!("answered with {other:?}")),
        },
        End::Cut => {
            let mut statuses = Vec::new();
            while let Some(status) = next(&mut http) {
                statuses.push(status);
            }
            let is_fine = |status: &u16| [200, 429].contains(status);
            let most = 2 * limits::HTTP_REQUESTS.burst() as usize;
            return match statuses.len() {
                1.. if statuses.len() <= most && statuses.iter().all(is_fine) => Ok(()),
                count => Err(format!("{count} answers: {statuses:?}")),
            };
        }
        End::Closed | End::Breaks | End::Plays => {}
    }
    let lives = matches!(case.end, End::Lives(_));
    if lives {
        http.ask("GET", "/live/cam", "Connection: close\r\n");
        let status = next(&mut http);
        if status != Some(200) {
            return Err(format!("then {status:?}"));
        }
    }
    match http.until_closed(SOON) {
        more if more.is_empty() => Ok(()),
        more => Err(format!("then {:?}", String::from_utf8_lossy(&more))),
    }
}

fn try_frames(relay: &Relay, case: &Case) -> Result<(), String> {
    let mut player = FlvPlayer::play(relay.http(), "film", Way::WebSocket);
    player.until("a picture", |media| media.number().is_some());
    player.http.send(&case.bytes);
    if case.end == End::Breaks {
        return match player.until_closed(SOON).1 {
            // What it was sent may not have been read, which resets the connection.
            Ending::Told(1000 | 1002 | 1008, _) | Ending::Closed(false) => Ok(()),
            other => Err(format!("ended with {other:?}")),
        };
    }
    for _ in 0..5 {
        if player.next(SOON).is_none() {
            return Err("no media any more".to_owned());
        }
    }
    Ok(())
}

/// Healthy players: every picture has to come, once and in order.
fn healthy(relay: &Relay, hostile: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let mut publisher = Wire::publish(relay.address(), "film");
    let mut film = Film::new("film", 0);
    publisher.send_all(&film.headers);
    publisher.send_all(&film.group(1));
    publisher.settle();
    let mut rtmp = Wire::play(relay.address(), "film");
    let players = Way::BOTH.map(|way| FlvPlayer::play(relay.http(), "film", way));
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let group = film.group(9);
                publisher.send_in_time(&group, || false);
                pause(Duration::from_millis(40));
            }
            publisher.finish();
        });
        let rtmp = scope.spawn(move || {
            let mut all = Vec::new();
            while let Some(seen) = rtmp.next(SOON) {
                all.push(seen);
            }
            media_of(&all)
        });
        let players = players.map(|mut player| {
            scope.spawn(move || {
                let mut all = Vec::new();
                while let Some(media) = player.next(SOON) {
                    all.push(media);
                }
                all
            })
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(hostile));
        over.store(true, Ordering::Relaxed);
        publishing.join().unwrap();
        let numbers = |media: &[Media]| -> Vec<u32> {
            let all = media
                .iter()
                .filter(|media| media.kind == 9 && !media.is_header());
            all.map(|media| media.number().expect("whole")).collect()
        };
        // From the key frame they began with to the last.
        let all = [("by RTMP", numbers(&rtmp.join().unwrap()))];
        let http = players.map(|player| ("by HTTP", numbers(&player.join().unwrap())));
        let ends: Vec<_> = all.iter().chain(&http).map(|(_, got)| got.last()).collect();
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
        for (who, got) in all.iter().chain(&http) {
            let first = *got.first().expect("pictures");
            let wanted: Vec<u32> = (first..first + u32::try_from(got.len()).unwrap()).collect();
            assert_eq!(*got, wanted, "{who}");
        }
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn a_relay_survives_them_all_while_healthy_players_notice_nothing() {
    let flags = [
        "--workers",
        "2",
        "--grace",
        "0",
        "--play-wait",
        "0",
        "--handshake-timeout",
        "3",
    ];
    let relay = relay_with(&flags);
    healthy(&relay, || {
        relay.wait_stat("connections", 4);
        let (files, memory) = (relay.open_files(), relay.resident_bytes());
        let mut failed = Vec::new();
        for round in 0..2 {
            for case in requests() {
                if let Err(why) = try_live(&relay, &case) {
                    failed.push(format!("{round} {}: {why}", case.name));
                }
            }
            for case in frames() {
                if let Err(why) = try_frames(&relay, &case) {
                    failed.push(format!("{round} {}: {why}", case.name));
                }
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        relay.wait_stat("connections", 4);
        let grown = relay.resident_bytes().saturating_sub(memory);
        assert!(grown < 64 << 20, "memory has grown by {grown} bytes");
        wait_for("return of the descriptors", SOON, || {
            (relay.open_files() <= files).then_some(())
        });
    });
}

#[test]
fn bytes_that_drip_do_not_put_off_the_end() {
    let flags = [
        "--handshake-timeout",
        "2",
        "--setup-timeout",
        "3",
        "--workers",
        "1",
    ];
    let relay = relay_with(&flags);
    healthy(&relay, || {
        let mut dripping = Http::connect(relay.http());
        dripping.send("GET /live/cam HTTP/1.1\r\nHost: a\r\nA: ");
        // One that was answered once has no more time for its next.
        let mut second = Http::connect(relay.http());
        assert_eq!(second.get("/live/cam").status, 200);
        second.send("GET /live/cam HTTP/1.1\r\nHost: a\r\nA: ");
        let begun = now();
        let mut ends = [None, None];
        while ends.iter().any(Option::is_none) {
            assert!(begun.elapsed() < SOON, "{ends:?}");
            for (http, end) in [&mut dripping, &mut second].into_iter().zip(&mut ends) {
                http.send("a");
                if end.is_none() && http.closed(Duration::from_millis(50)).is_some() {
                    *end = Some(begun.elapsed());
                }
            }
        }
        let first = dripping.local_address().to_string();
        relay.wait_log(&["reason=handshake_timeout", &first]);
        let second = second.local_address().to_string();
        relay.wait_log(&["reason=setup_timeout", &second]);
        println!("{ends:?}");
    });
}

#[test]
fn who_asks_and_never_reads_is_closed_and_holds_little() {
    let relay = relay_with(&["--send-timeout", "2", "--sndbuf", "16k", "--workers", "1"]);
    healthy(&relay, || {
        let memory = relay.resident_bytes();
        let mut deaf: Vec<Http> = (0..8)
            .map(|_| Http::connect_with(relay.http(), Some(4_096)))
            .collect();
        let begun = now();
        let is_closed = |http: &Http| {
            relay
                .log()
                .contains(&format!("peer={}", http.local_address()))
                && relay.log().lines().any(|line| {
                    line.contains("closed") && line.ends_with(&http.local_address().to_string())
                })
        };
        while !deaf.iter().all(&is_closed) {
            assert!(begun.elapsed() < 2 * SOON, "still there");
            for http in &mut deaf {
                http.send(get("/live/cam", "").repeat(10));
            }
            pause(Duration::from_millis(300));
        }
        let grown = relay.resident_bytes().saturating_sub(memory);
        assert!(grown < 32 << 20, "memory has grown by {grown} bytes");
    });
}

#[test]
fn on_the_port_of_rtmp_there_is_no_http() {
    let relay = relay_with(&["--handshake-timeout", "10"]);
    let silent = |to: SocketAddr, bytes: &[u8]| {
        let begun = now();
        let mut socket = open(to, None);
        socket.write_all(bytes).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut answer = Vec::new();
        // A reset is as good.
        let _: std::io::Result<usize> = socket.read_to_end(&mut answer);
        assert_eq!(answer, b"");
        assert!(begun.elapsed() < Duration::from_secs(9));
    };
    silent(relay.address(), get("/live/cam", "").as_bytes());
    silent(
        relay.address(),
        Way::WebSocket.request("/live/film.flv", "").as_bytes(),
    );
    silent(relay.http(), &[3]);
    silent(relay.http(), &[0x16]);
}
