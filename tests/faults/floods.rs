//! The smallest pieces in great numbers, on the one worker that also serves a healthy publisher
//! and its players: messages of a byte, the smallest chunks there may be, and a packet for each
//! byte. The delay that the players see stays as it was, within [`RISE_MAX`].
//!
//! Chunks smaller than 128 bytes are refused ([`limits::CHUNK_SIZE_IN_MIN`]), so that a chunk of
//! one byte is a message of one byte, or the end of a longer one.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use tailwater::limits;
use tailwater::rtmp::control::Control;
use tailwater::rtmp::message::kind;

use crate::bystanders::{Figures, STREAM, beside_these, pictures};
use crate::{alone, raw};
use support::relay::Relay;
use support::wire::{Media, Wire};
use support::{BUSY, SOON, now, pause};

/// Players of the healthy publisher.
const PLAYERS: usize = 20;
/// What the 99th hundredth of the delay may rise by.
const RISE_MAX: Duration = Duration::from_secs(1);
/// So often is it tried before the machine is no excuse any more.
const TRIES: usize = 5;
/// How long a flood lasts, and how long it is quiet before.
const FLOOD_TIME: Duration = Duration::from_millis(1_500);
/// From one burst to the next.
const BURST_EVERY: Duration = Duration::from_millis(10);
/// Bursts of a flood.
const BURSTS: usize = 150;

/// The delay with 20 players on one worker, while `what` happens.
fn delay_beside(relay: &Relay, what: impl FnOnce()) -> Duration {
    let publisher = Wire::publish(relay.address(), STREAM);
    let players = (0..PLAYERS).map(|_| Wire::play(relay.address(), STREAM));
    let ((), figures) = beside_these(publisher, players.collect(), what);
    relay.wait_stat("streams", 0);
    Figures::of_all(figures).p99()
}

/// Publishers that each send bursts, made by `burst` for each time, beside the healthy one.
#[track_caller]
fn check(
    name: &str,
    flooders: usize,
    burst: impl Fn(usize) -> Vec<u8>,
    send: fn(&mut TcpStream, &[u8]),
) {
    let _turn = alone();
    let relay = Relay::start(&["--workers", "1", "--grace", "0", "--log", "info"]);
    let mut rises = Vec::new();
    for _ in 0..TRIES {
        let quiet = delay_beside(&relay, || pause(FLOOD_TIME));
        let flooded = delay_beside(&relay, || {
            let streams = (0..flooders).map(|number| format!("flood-{number}"));
            let mut sockets: Vec<_> = streams
                .map(|name| raw::publish(relay.address(), &name))
                .collect();
            let begun = now();
            let mut due = begun;
            for number in 0..BURSTS {
                let bytes = burst(number);
                sockets.iter_mut().for_each(|socket| send(socket, &bytes));
                due += BURST_EVERY;
                pause(due.saturating_duration_since(now()));
            }
            // It was a flood, and all of it was taken: they are publishers to the end.
            let took = begun.elapsed();
            assert!(took < FLOOD_TIME + BUSY, "{name}: sent within {took:?}");
            relay.wait_stat("publishers", flooders as u64 + 1);
            assert_eq!(relay.stats()["violations"], 0, "{name}");
        });
        eprintln!("{name}: p99 of the delay {quiet:?} quiet, {flooded:?} flooded");
        rises.push(flooded.saturating_sub(quiet));
        if rises.last().is_some_and(|rise| *rise <= RISE_MAX) {
            return;
        }
    }
    panic!("{name}: the p99 of the delay rises by {rises:?}");
}

fn write(socket: &mut TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).expect("a publisher that is served");
}

/// Messages a second of each publisher that floods; a connection may send 20,000.
const MESSAGES: usize = 15_000;

#[test]
fn messages_of_a_byte_do_not_delay_others() {
    let tiny = Media::new(kind::AUDIO, 0, vec![0xAF]);
    let first = raw::message(&tiny);
    // Then all that a message needs: a header that says "as before", and the byte.
    let next = [0b1100_0000 | first[0], 0xAF];
    let count = MESSAGES / 100;
    let burst = [&first[..], &next.repeat(count - 1)].concat();
    check("tiny messages", 4, |_| burst.clone(), write);
}

/// Messages that are sent at one time, a chunk of each in turn: as many as may be incomplete.
const INTERLEAVED: usize = limits::PARTIAL_MESSAGES_MAX;
/// Bytes a second in the smallest chunks, 60,000 of these.
const CHUNKED_BYTES: usize = 8_000_000;

/// Pictures on chunk streams of their own, a chunk of each in turn.
fn interleaved(picture: &Media) -> Vec<u8> {
    let mut bytes = Vec::new();
    let chunk_bytes = limits::CHUNK_SIZE_IN_MIN as usize;
    let chunks: Vec<&[u8]> = picture.payload.chunks(chunk_bytes).collect();
    for (index, chunk) in chunks.iter().enumerate() {
        for csid in (6_u8..).take(INTERLEAVED) {
            if index > 0 {
                bytes.push(0b1100_0000 | csid);
            } else {
                // RTMP 1.0 §5.3.1.2.1: the time, the length, the type, the message stream.
                let len = u32::try_from(picture.payload.len()).unwrap().to_be_bytes();
                bytes.extend([
                    csid,
                    0,
                    0,
                    0,
                    len[1],
                    len[2],
                    len[3],
                    picture.kind,
                    1,
                    0,
                    0,
                    0,
                ]);
            }
            bytes.extend_from_slice(chunk);
        }
    }
    bytes
}

#[test]
fn the_smallest_chunks_do_not_delay_others() {
    let picture_bytes = CHUNKED_BYTES / 100 / INTERLEAVED;
    let [key, other] = [0, 1].map(|number| {
        let picture = pictures(picture_bytes).nth(number).expect("without end");
        interleaved(&picture)
    });
    // A key frame now and then, or all of it would be kept.
    let burst = |number| {
        if number % 20 == 0 {
            key.clone()
        } else {
            other.clone()
        }
    };
    check("smallest chunks", 1, burst, write);
}

/// Packets a second, of one byte each.
const PACKETS: usize = 10_000;

#[test]
fn packets_of_a_byte_do_not_delay_others() {
    let sound = raw::message(&Media::sound(0, 0, PACKETS / 100 - 12));
    assert_eq!(sound.len(), PACKETS / 100);
    check(
        "packets of a byte",
        1,
        |_| sound.clone(),
        |socket, bytes| {
            // Each goes by itself: the socket does not wait for more.
            bytes.chunks(1).for_each(|byte| write(socket, byte));
        },
    );
}

#[test]
fn chunks_below_the_smallest_end_the_publisher_alone() {
    let _turn = crate::together();
    let relay = Relay::start(&["--workers", "1"]);
    crate::bystanders::beside(&relay, 1, || {
        for size in [1, 2, limits::CHUNK_SIZE_IN_MIN - 1] {
            let mut publisher = Wire::publish(relay.address(), "small");
            let mut bytes = Vec::new();
            Control::SetChunkSize(size).encode(&mut bytes);
            publisher.send_bytes(&bytes);
            publisher.until_closed_within(SOON);
        }
        relay.wait_stat("violations", 3);
        relay.wait_log(&["closed role=publisher ", "reason=chunk_size "]);
    });
}
