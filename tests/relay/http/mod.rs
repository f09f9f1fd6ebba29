//! Streams by HTTP, plain and over WebSocket, next to players by RTMP: what is got, when, and how
//! it ends; requests and their answers; and what peers that mean harm may send.
//!
//! ```text
//!   streams    the same media as by RTMP          answers   requests that are no streams, CORS
//!   ends       ends, gaps, drain, slow players    admin     health, token
//!   clients    ffmpeg and curl                    hostile   W1 to W3, against the binary
//!   places     limits, edges, memory              cases     their tables
//!   names      paths with escapes                 proxies   what a proxy says of its clients
//! ```

mod admin;
mod answers;
mod cases;
mod clients;
mod ends;
mod hostile;
mod kinds;
mod names;
mod places;
mod proxies;
mod streams;

use support::http::{FlvPlayer, Way};
use support::relay::Relay;
use support::wire::{Film, Media, Wire};

/// A relay that serves streams by HTTP as well.
fn relay_with(flags: &[&str]) -> Relay {
    let mut all = vec!["--http", "127.0.0.1:0"];
    all.extend(flags);
    Relay::start(&all)
}

/// The media a player has, up to and with the last of `sent`, which has a number.
#[track_caller]
fn media_up_to(player: &mut FlvPlayer, sent: &[Media]) -> Vec<Media> {
    let last = sent.last().expect("something was sent");
    let number = last.number().expect("a message with a number");
    player.until_number(last.kind, number)
}

/// A publisher of `live/STREAM` that has sent the headers of `film` and a group of five.
fn publisher(relay: &Relay, stream: &str, film: &mut Film) -> (Wire, Vec<Media>) {
    let mut wire = Wire::publish(relay.address(), stream);
    let mut sent = film.headers.clone();
    sent.extend(film.group(4));
    wire.send_all(&sent);
    wire.spread();
    (wire, sent)
}

/// One that plays in each way.
fn both_ways(relay: &Relay, stream: &str) -> [FlvPlayer; 2] {
    Way::BOTH.map(|way| FlvPlayer::play(relay.http(), stream, way))
}
