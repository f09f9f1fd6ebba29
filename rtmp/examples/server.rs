//! A server that takes one publisher and prints what it sends:
//!
//! ```text
//! cargo run -p tailwater-rtmp --example server -- 127.0.0.1:1935
//! ffmpeg -re -i FILE -c copy -f flv rtmp://127.0.0.1/live/cam
//! ```
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example prints, and reads the clock for the session"
)]

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use tailwater_rtmp::Outbox;
use tailwater_rtmp::command::Status;
use tailwater_rtmp::message::Message;
use tailwater_rtmp::server::{Event, Request, ServerSession, WireSettings};

/// Reads from a client until it closes; `on_media` is given all that it publishes.
pub fn serve(
    mut socket: TcpStream,
    mut on_media: impl FnMut(&Message<'_>),
) -> Result<(), Box<dyn Error>> {
    // Any number will do: the handshake has no secrets.
    let mut session = ServerSession::new(u64::from(std::process::id()));
    let (begun, mut buffer) = (Instant::now(), vec![0; 65_536]);
    loop {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let (input, mut at) = (&buffer[..count], 0);
        session.set_now(begun.elapsed());
        // After an error, what is in `out` may still say why.
        let ended = read(&mut session, input, &mut at, &mut on_media)
            .and_then(|()| Ok(session.end_input(input, at)?));
        send(&mut socket, session.out())?;
        ended?;
    }
}

/// Goes through `input` to its end.
fn read(
    session: &mut ServerSession,
    input: &[u8],
    at: &mut usize,
    on_media: &mut impl FnMut(&Message<'_>),
) -> Result<(), Box<dyn Error>> {
    loop {
        let request = match session.next(input, at)? {
            None => return Ok(()),
            Some(Event::Media(message)) => {
                on_media(&message);
                continue;
            }
            Some(Event::Request(request)) => request,
        };
        match request {
            Request::Connect => session.accept_connect(&WireSettings {
                chunk_size: 65_536,
                window_ack: 2_500_000,
            }),
            Request::Publish { msid, name, .. } => session.accept_publish(msid, &name),
            Request::Play { msid, .. } => {
                session.reject(
                    msid,
                    Status::PlayStreamNotFound,
                    "nothing can be played here",
                );
            }
            _ => {}
        }
    }
}

/// Sends what waits in `out`.
fn send(socket: &mut TcpStream, out: &mut Outbox) -> Result<(), Box<dyn Error>> {
    let count = out.pending().len();
    socket.write_all(out.pending())?;
    out.advance(count);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:1935".to_owned());
    let (socket, peer) = TcpListener::bind(address)?.accept()?;
    println!("{peer} has connected");
    serve(socket, |message| {
        let header = message.header;
        println!(
            "{} ms: message of type {}, {} bytes",
            header.timestamp.0, header.kind, header.len
        );
    })
}
