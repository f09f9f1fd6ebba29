//! A client that publishes a second of silence, for a server such as the other example:
//!
//! ```text
//! cargo run -p tailwater-rtmp --example client -- 127.0.0.1:1935
//! ```
#![allow(
    clippy::disallowed_methods,
    reason = "an example reads the clock for the session"
)]

use std::env;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use tailwater_rtmp::Outbox;
use tailwater_rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use tailwater_rtmp::command::Status;
use tailwater_rtmp::message::{MessageHeader, MessageStreamId, Payload, Timestamp, kind};

/// A configuration of AAC (44.1 kHz, two channels), and a frame of silence.
const CONFIG: &[u8] = &[0xAF, 0, 0x12, 0x10];
const SILENCE: &[u8] = &[0xAF, 1, 0x21, 0x10, 0x04, 0x60, 0x8C, 0x1C];

/// Publishes a second of silence as `live/cam` and ends the stream.
pub fn publish(mut socket: TcpStream) -> Result<(), Box<dyn Error>> {
    let request = ClientRequest {
        app: "live".to_owned(),
        tc_url: format!("rtmp://{}/live", socket.peer_addr()?),
        stream: "cam".to_owned(),
        action: Action::Publish,
        ..ClientRequest::default()
    };
    let mut session = ClientSession::new(request, u64::from(std::process::id()));
    let (begun, mut buffer) = (Instant::now(), vec![0; 65_536]);
    loop {
        send(&mut socket, session.out())?;
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return Err("the server has closed the connection".into());
        }
        let (input, mut at) = (&buffer[..count], 0);
        session.set_now(begun.elapsed());
        while let Some(event) = session.next(input, &mut at)? {
            match event {
                ClientEvent::Status {
                    msid,
                    status: Some(Status::PublishStart),
                    ..
                } => {
                    send_silence(&mut session, msid);
                    session.stop();
                    send(&mut socket, session.out())?;
                    return end(&socket);
                }
                ClientEvent::Status { level, code, .. } if level == "error" => {
                    return Err(code.into());
                }
                ClientEvent::Refused { code, .. } => return Err(code.into()),
                _ => {}
            }
        }
        session.end_input(input, at)?;
    }
}

/// Frames have 1,024 samples.
fn send_silence(session: &mut ClientSession, msid: MessageStreamId) {
    for index in 0..=43 {
        let body = if index == 0 { CONFIG } else { SILENCE };
        let header = MessageHeader {
            csid: 4,
            timestamp: Timestamp(index * 1_024 * 1_000 / 44_100),
            kind: kind::AUDIO,
            msid,
            len: body.len(),
        };
        session.send_media(&header, &Payload::from_slice(body));
    }
}

/// Sends what waits in `out`.
fn send(socket: &mut TcpStream, out: &mut Outbox) -> Result<(), Box<dyn Error>> {
    let count = out.pending().len();
    socket.write_all(out.pending())?;
    out.advance(count);
    Ok(())
}

/// Says that nothing more comes and reads until the server closes: a socket dropped with
/// unread bytes resets the connection, and the server may lose what it has not read yet.
fn end(mut socket: &TcpStream) -> Result<(), Box<dyn Error>> {
    socket.shutdown(Shutdown::Write)?;
    io::copy(&mut socket, &mut io::sink())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:1935".to_owned());
    publish(TcpStream::connect(address)?)
}
