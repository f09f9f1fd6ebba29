//! Cases against a session alone: what it makes of the bytes, whatever pieces they come in, how
//! much it holds after each piece, and how much it says.

use std::time::Duration;

use tailwater::limits;
use tailwater::rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use tailwater::rtmp::error::ProtocolError;
use tailwater::rtmp::handshake::Mode;
use tailwater::rtmp::message::Message;
use tailwater::rtmp::server::{Event, Request, ServerSession, WireSettings};

use super::bytes::{Head, VIDEO, chunk_size, inter_frame, message_in, ping};
use super::case::{Act, Case, End, Says, State};
use super::chunks::golden_publish;
use super::client_role;
use super::heard::Heard;
use support::memory::held;

/// The ping that asks whether a connection lives.
pub(crate) const LAST_PING: u32 = 0x7EA7_0001;

/// Bytes of C0, C1 and C2.
const HANDSHAKE_BYTES: u64 = 1 + 2 * 1536;

/// What a worker gives a session at one time.
const READ_BYTES: usize = limits::RING_BYTES;

enum Session {
    Server(Box<ServerSession>),
    Client(Box<ClientSession>),
}

/// What came of feeding a session.
#[derive(Debug, Default)]
struct Run {
    /// A digest of each event in order.
    events: Vec<u64>,
    heard: Heard,
    end: Option<&'static str>,
    /// It was an accepted publisher at some time, or we are the client.
    published: bool,
    /// Bytes given to it.
    fed: u64,
}

impl Run {
    /// Memory of this record itself.
    fn own(&self) -> i64 {
        let own = self.events.capacity() * size_of::<u64>() + self.heard.memory();
        i64::try_from(own).unwrap_or(i64::MAX)
    }

    fn note_media(&mut self, message: &Message<'_>) {
        let header = message.header;
        let mut digest = Digest::default();
        digest.add(&[header.kind]);
        digest.add(&header.timestamp.0.to_be_bytes());
        digest.add(&header.msid.0.to_be_bytes());
        for piece in message.payload.slices() {
            digest.add(piece);
        }
        self.events.push(digest.0);
    }

    fn note(&mut self, words: &str) {
        let mut digest = Digest::default();
        digest.add(words.as_bytes());
        self.events.push(digest.0);
    }
}

/// FNV-1a.
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

impl Session {
    fn new(state: State) -> Self {
        if !state.is_origin() {
            return Self::Server(Box::new(ServerSession::new(7)));
        }
        let request = ClientRequest {
            app: "live".to_owned(),
            tc_url: "rtmp://127.0.0.1/live".to_owned(),
            stream: "healthy".to_owned(),
            action: Action::Play,
            handshake: Mode::Digest,
            chunk_size: 4_096,
            ..ClientRequest::default()
        };
        Self::Client(Box::new(ClientSession::new(request, 7)))
    }

    /// Reads one piece as a worker does.
    fn read(&mut self, piece: &[u8], run: &mut Run) -> Result<(), ProtocolError> {
        let mut at = 0;
        match self {
            Self::Server(session) => {
                loop {
                    match session.next(piece, &mut at)? {
                        None => break,
                        Some(Event::Media(message)) => run.note_media(&message),
                        Some(Event::Request(request)) => {
                            run.note(&format!("{request:?}"));
                            answer(session, &request, run);
                        }
                    }
                }
                session.end_input(piece, at)
            }
            Self::Client(session) => {
                loop {
                    match session.next(piece, &mut at)? {
                        None => break,
                        Some(ClientEvent::Media(message)) => run.note_media(&message),
                        Some(event) => run.note(&format!("{event:?}")),
                    }
                }
                session.end_input(piece, at)
            }
        }
    }

    fn out(&mut self) -> &mut tailwater::rtmp::Outbox {
        match self {
            Self::Server(session) => session.out(),
            Self::Client(session) => session.out(),
        }
    }

    /// What it says is read.
    fn drain(&mut self, run: &mut Run) -> Result<(), String> {
        let out = self.out();
        let count = out.pending().len();
        let heard = run.heard.take(out.pending());
        out.advance(count);
        heard
    }

    /// One piece, and what it comes to.
    fn feed(&mut self, piece: &[u8], deaf: bool, run: &mut Run) -> Result<(), String> {
        if let Err(error) = self.read(piece, run) {
            run.end = Some(error.code());
        }
        run.fed += piece.len() as u64;
        if deaf { Ok(()) } else { self.drain(run) }
    }
}

/// Everybody may do anything.
fn answer(session: &mut ServerSession, request: &Request, run: &mut Run) {
    let settings = WireSettings {
        chunk_size: 65_536,
        window_ack: 2_500_000,
    };
    match request {
        Request::Connect => session.accept_connect(&settings),
        Request::Publish { msid, name, .. } => {
            run.published = true;
            session.accept_publish(*msid, name);
        }
        Request::Play { msid, name, reset } => session.accept_play(*msid, name, *reset),
        _ => {}
    }
}

/// What a session may hold between two reads of at most `piece` bytes.
pub(crate) fn budget(published: bool, deaf: bool, piece: usize) -> i64 {
    let (partial, whole) = if published {
        // An aggregate is copied to be taken apart.
        (limits::PARTIAL_BYTES_MAX, limits::VIDEO_MESSAGE_BYTES_MAX)
    } else {
        (limits::UNAUTHORISED_PARTIAL_BYTES_MAX, 0)
    };
    // Buffers grow by doubling.
    let buffers = 2 * partial + whole;
    // A range for each chunk of a read, on each chunk stream, and what a stream is remembered by.
    let ranges = 2 * (piece / 128 + 4) * size_of::<std::ops::Range<usize>>();
    let streams = limits::CHUNK_STREAMS_MAX * (ranges + 512);
    let unread = if deaf { 4 * limits::OUT_BYTES_MAX } else { 0 };
    let fixed = 32 * 1024;
    i64::try_from(buffers + streams + unread + fixed).unwrap_or(i64::MAX)
}

/// Plays a case in pieces of at most `most` bytes.
fn play(case: &Case, most: usize) -> Result<Run, String> {
    let mut run = Run {
        published: case.state.is_origin(),
        ..Run::default()
    };
    let before = held() - run.own();
    let mut session = Session::new(case.state);
    let opening = match case.state.is_origin() {
        true => client_role::opening(case.state),
        false => case.state.opening("own", "healthy"),
    };
    let opening = Act::Send(opening);
    session.drain(&mut run)?;
    let own_bytes = |act: &Act| match act {
        Act::Send(bytes) => (bytes.clone(), 1),
        Act::Repeat(bytes, times) => (bytes.clone(), *times),
        _ => (Vec::new(), 0),
    };
    for act in std::iter::once(&opening).chain(&case.acts) {
        let (bytes, times) = own_bytes(act);
        let kept = i64::try_from(bytes.capacity()).unwrap_or(i64::MAX);
        let opened = i64::try_from(capacity(&opening)).unwrap_or(i64::MAX);
        // Repeated messages come back to back, as they would over a wire.
        let at_once = bytes.repeat((most / bytes.len().max(1)).clamp(1, times.max(1) as usize));
        let kept = kept + opened + i64::try_from(at_once.capacity()).unwrap_or(i64::MAX);
        let mut left = bytes.len() * times as usize;
        while left > 0 && run.end.is_none() {
            let turn = &at_once[..at_once.len().min(left)];
            left -= turn.len();
            for piece in turn.chunks(most) {
                session.feed(piece, case.deaf, &mut run)?;
                let now = held() - before - run.own() - kept;
                let allowed = budget(run.published, case.deaf, most);
                if now > allowed {
                    return Err(format!("holds {now} bytes of {allowed}, fed {}", run.fed));
                }
                check_replies(run.fed, Duration::ZERO, &run.heard)?;
                if run.end.is_some() {
                    break;
                }
            }
        }
    }
    session.drain(&mut run)?;
    if run.end.is_none() && case.end == End::Lives {
        session.feed(&ping(LAST_PING), false, &mut run)?;
        if run.end.is_none() && !run.heard.has_pong(LAST_PING) {
            return Err("does not answer a ping at the end".to_owned());
        }
    }
    Ok(run)
}

fn capacity(act: &Act) -> usize {
    match act {
        Act::Send(bytes) | Act::Repeat(bytes, _) => bytes.capacity(),
        _ => 0,
    }
}

/// Whether it ended as it should.
fn judge(case: &Case, run: &Run) -> Result<(), String> {
    match (run.end, &case.end) {
        (Some(code), _) if !case.end.allows(code) => {
            return Err(format!("closed with {code}, allowed: {:?}", case.end));
        }
        (None, End::Closes(codes)) if !codes.iter().any(is_of_workers) => {
            return Err(format!("goes on, expected: {:?}", case.end));
        }
        _ => {}
    }
    check_said(case, &run.heard)
}

/// Whether only a worker closes with this code.
fn is_of_workers(code: &&str) -> bool {
    let mut of_sessions = ProtocolError::CODES.iter().map(|(code, _)| *code);
    *code == "stale_partial" || !of_sessions.any(|its| its == *code)
}

/// What the rates of `limits` let a client hear at once: 100 answers to pauses and seeks.
const ANSWERS_AT_ONCE: u64 = 16 * 1024;

/// And in a second: ten answers to calls, each a name and a description longer than they can be.
const ANSWERS_A_SECOND: u64 = 2 * 1024;

/// A relay says little for what it is told, the handshake apart: three times as much, and what
/// rates allow. `fed` counts all bytes, in `time`.
pub(crate) fn check_replies(fed: u64, time: Duration, heard: &Heard) -> Result<(), String> {
    let told = fed.saturating_sub(HANDSHAKE_BYTES);
    let said = heard.reply_bytes;
    if said > 3 * told + ANSWERS_AT_ONCE + ANSWERS_A_SECOND * time.as_secs() {
        return Err(format!("says {said} bytes for {told}"));
    }
    Ok(())
}

/// Whether the relay said what it should.
pub(crate) fn check_said(case: &Case, heard: &Heard) -> Result<(), String> {
    for says in &case.says {
        let is_so = match *says {
            Says::Words(words) => heard.has_words(words),
            Says::Never(words) => !heard.has_words(words),
            Says::AtMost(words, most) => heard.count_words(words) <= most,
            Says::Pong(time) => heard.has_pong(time),
            Says::Media(count) => heard.media == count,
            Says::Acknowledgements(most) => heard.acknowledgements().len() <= most,
        };
        if !is_so {
            let last = heard.said.iter().rev().take(3);
            let last: Vec<String> = last
                .map(|said| format!("{}: {}", said.kind, said.body.escape_ascii()))
                .collect();
            return Err(format!("not so: {says:?}; last heard {last:?}"));
        }
    }
    Ok(())
}

/// How small the pieces of a case of `size` bytes are made.
pub(crate) fn small_pieces(size: usize) -> usize {
    match size {
        0..=16_384 => 1,
        16_385..=1_000_000 => 7,
        _ => 1_021,
    }
}

/// Plays a case as reads bring it and in small pieces, which have to come to the same.
pub(crate) fn try_case(case: &Case) -> Result<(), String> {
    let at_once = play(case, READ_BYTES).map_err(|why| format!("in reads: {why}"))?;
    judge(case, &at_once).map_err(|why| format!("in reads: {why}"))?;
    let step = small_pieces(case.size());
    let in_pieces = play(case, step).map_err(|why| format!("in pieces of {step}: {why}"))?;
    judge(case, &in_pieces).map_err(|why| format!("in pieces of {step}: {why}"))?;
    let same = at_once
        .events
        .iter()
        .zip(&in_pieces.events)
        .take_while(|(one, other)| one == other)
        .count();
    let (most, least) = (
        at_once.events.len().max(in_pieces.events.len()),
        at_once.events.len().min(in_pieces.events.len()),
    );
    // Limits in time and in bytes are looked at between reads: what comes before is the same.
    let ends_alike = at_once.end.is_none() && in_pieces.end.is_none();
    if same < least || ends_alike && least < most {
        return Err(format!(
            "{same} of {least} to {most} events are the same in pieces of {step}"
        ));
    }
    Ok(())
}

/// C6: an ordinary session cut in two at every byte.
#[test]
fn c6_an_ordinary_session_reads_the_same_wherever_it_is_cut() {
    let bytes = golden_publish("golden");
    let read = |pieces: &[&[u8]]| {
        let mut session = Session::new(State::Raw);
        let mut run = Run::default();
        for piece in pieces {
            session
                .feed(piece, false, &mut run)
                .expect("well-formed answers");
        }
        assert_eq!(run.end, None);
        (run.events, run.heard.said)
    };
    let whole = read(&[&bytes]);
    assert_eq!(whole.0.len(), 9 + 2, "nine messages, connect and publish");
    for at in 1..bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(read(&[first, second]), whole, "cut at byte {at}");
    }
}

/// C25: more than 4 GiB on one connection. Acknowledgements count modulo 2^32 and go on.
#[test]
fn c25_acknowledgements_wrap_behind_4_gib() {
    const MESSAGES: u64 = 4_200;
    let mut session = Session::new(State::Raw);
    let mut run = Run::default();
    let opening = State::Publishing.opening("own", "healthy");
    for bytes in [&opening, &chunk_size(65_536)] {
        session
            .feed(bytes, false, &mut run)
            .expect("well-formed answers");
    }
    let message = message_in(65_536, Head::new(6, VIDEO, 0), &inter_frame(1 << 20));
    let mut received = (opening.len() + chunk_size(65_536).len()) as u64;
    for _ in 0..MESSAGES {
        for piece in message.chunks(READ_BYTES) {
            if let Session::Server(session) = &mut session {
                let mut at = 0;
                while session
                    .next(piece, &mut at)
                    .expect("an ordinary publisher")
                    .is_some()
                {}
                session.end_input(piece, at).expect("an ordinary publisher");
            }
            session.drain(&mut run).expect("well-formed answers");
        }
        received += message.len() as u64;
    }
    assert!(received > 1 << 32, "{received}");
    let acknowledged = run.heard.acknowledgements();
    let wraps = acknowledged
        .windows(2)
        .filter(|pair| pair[1] < pair[0])
        .count();
    assert_eq!(wraps, 1);
    let step = limits::ACK_WINDOW_DEFAULT / 2;
    let slack = u32::try_from(READ_BYTES).expect("small");
    for pair in acknowledged.windows(2) {
        let distance = pair[1].wrapping_sub(pair[0]);
        assert!((step..=step + slack).contains(&distance), "{pair:?}");
    }
    let last = u64::from(*acknowledged.last().expect("there are some")) + (1 << 32);
    assert!(
        (last..=last + u64::from(step + slack)).contains(&received),
        "{last} of {received}"
    );
}
