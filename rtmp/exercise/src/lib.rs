//! Fuzz entries of the protocol: of what has state, the chunk reader and both sessions, here, and
//! of the parts that have none in [`leaves`]. Each takes any bytes and panics where something is
//! wrong. The targets in fuzz/ and the tests drive them.
//!
//! ```text
//!   flags | verdicts | number of cuts | cuts ... | what the peer sends
//! ```
//!
//! What the peer sends is either bytes as on the wire or, under [`SCRIPTED`], a list of messages
//! and commands from which the wire is made (see composer.rs), so that a change of one
//! byte does not lose every length behind it. It is read in one piece, in the pieces of the cuts
//! and with the input given up after each event; all have to tell the same. A bit of the verdicts
//! decides about each request.
//!
//! Asserted besides: incomplete messages stay within the budget of the role, what is sent stays
//! within a multiple of what came and reads as whole messages, and no input is left unread.

mod composer;
mod driver;
pub mod leaves;
mod run;
mod script;
mod told;
pub mod vector;

use crate::driver::{Client, Server};
use crate::run::{Peer, Run};
use crate::script::Script;
use crate::told::{Outcome, Told, assert_alike};
use tailwater_rtmp::control::Control;
use tailwater_rtmp::reader::{ChunkReader, ReaderLimits};

/// Flag: hands are shaken before the input begins.
pub const SHAKEN: u8 = 0x01;
/// Flag: the input is a list of messages and commands, not bytes of the wire.
pub const SCRIPTED: u8 = 0x02;
/// Flag: publish and play are answered when the next thing happens and not at once.
pub const LATE: u8 = 0x04;
/// Flag: the peer never takes what it is sent.
pub const DEAF: u8 = 0x08;
/// Flag, client: it plays and does not publish. Chunk reader: the limits of a publisher.
pub const PLAY: u8 = 0x10;
/// Flag, client: it offers a digest. Chunk reader: limits of a few hundred bytes.
pub const DIGEST: u8 = 0x20;

/// Bytes of C0 to C2, and of S0 to S2.
pub const HANDSHAKE_BYTES: usize = 1 + 2 * 1_536;

/// What an input came to, so that a test can see that its seeds get anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Messages, requests and statuses.
    pub events: usize,
    /// Audio, video and data among them.
    pub media: usize,
    /// Messages sent, acknowledgements left out.
    pub replies: usize,
    /// The code of the error that ended it.
    pub end: Option<&'static str>,
}

/// What the peer of `data` sends, as on the wire, for those who drive a session themselves.
pub fn wire(data: &[u8]) -> Vec<u8> {
    Script::new(data).map_or_else(Vec::new, |script| script.wire())
}

/// Reads `data` as a chunk stream, see the module text.
pub fn chunks(data: &[u8]) -> Reached {
    let Some(script) = Script::new(data) else {
        return Reached::default();
    };
    let wire = script.wire();
    let whole = read_chunks(&script, &[&wire]);
    assert_alike(&whole, &read_chunks(&script, &script.pieces(&wire)));
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_alike(&whole, &read_chunks(&script, &bytes));
    whole.reached()
}

/// Reads `data` as what a client sends, see the module text.
pub fn server(data: &[u8]) -> Reached {
    compare(data, |script| Peer::Server(Server::new(script)))
}

/// Reads `data` as what a server sends, see the module text.
pub fn client(data: &[u8]) -> Reached {
    compare(data, |script| Peer::Client(Client::new(script)))
}

fn compare<'a>(data: &'a [u8], begin: impl Fn(&Script<'a>) -> Peer) -> Reached {
    let Some(script) = Script::new(data) else {
        return Reached::default();
    };
    let wire = script.wire();
    let whole = Run::new(begin(&script), script.flags).read(&[&wire], false);
    let cut = Run::new(begin(&script), script.flags).read(&script.pieces(&wire), false);
    assert_alike(&whole, &cut);
    let held = Run::new(begin(&script), script.flags).read(&[&wire], true);
    assert_alike(&whole, &held);
    whole.reached()
}

fn read_chunks(script: &Script<'_>, pieces: &[&[u8]]) -> Outcome {
    let limits = match script.flags & (PLAY | DIGEST) {
        0 => ReaderLimits::UNAUTHORISED,
        PLAY => ReaderLimits::PUBLISHER,
        _ => ReaderLimits {
            video_bytes: 700,
            audio_bytes: 300,
            data_bytes: 200,
            other_bytes: 200,
            chunk_streams: 5,
            partial_messages: 3,
            partial_bytes: 900,
            skip_media: script.flags & DEAF != 0,
        },
    };
    let mut reader = ChunkReader::new(limits);
    let mut outcome = Outcome::default();
    for input in pieces {
        let mut at = 0;
        loop {
            let control = match reader.next(input, &mut at) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    outcome.told.push(Told::message(&message));
                    Control::decode(&message)
                }
                Err(error) => {
                    outcome.end = Some(error);
                    return outcome;
                }
            };
            match control {
                // Smaller than any session allows, so that chunks are many.
                Ok(Some(Control::SetChunkSize(bytes))) => {
                    reader.set_chunk_size((bytes & 0x00FF_FFFF).max(1) as usize);
                }
                Ok(Some(Control::Abort(csid))) => _ = reader.abort(csid),
                _ => {}
            }
        }
        assert_eq!(at, input.len(), "all of an input is read");
        reader.hold(input);
        let held = reader.partial_bytes();
        assert!(held <= limits.partial_bytes, "{held} bytes are held");
        if script.flags & LATE != 0 {
            reader.release_spare();
        }
    }
    outcome
}
