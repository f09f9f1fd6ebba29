//! What a player is sent is a session to a reader that shares nothing with ours: rml_rtmp's client
//! shakes hands, connects and plays in memory against a worker, and has to be told exactly what was
//! published. Times stay below 2^24 ms, as rml_rtmp 0.8 does not know that type 3 chunks repeat an
//! extended timestamp; the tests with ffmpeg, GStreamer and librtmp have those.
//!
//! `PROPTEST_CASES` sets the number of sessions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "any instant will do to begin with, and the number of cases is no flag"
)]

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult,
};
use tailwater::config::{Config, Pace};
use tailwater::net::transport::Transport;
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::control::Control;
use tailwater::rtmp::message::kind;
use tailwater::worker::core::Core;
use tailwater::worker::ids::{ConnId, WorkerId};
use tailwater::worker::shared::Shared;
use tailwater_testkit::script;

/// A socket that gives prepared bytes and keeps what it is sent, a few bytes a write.
#[derive(Debug)]
struct Socket {
    input: Vec<u8>,
    sent: Vec<u8>,
    /// Bytes one write takes.
    room: usize,
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.input.len().min(into.len());
        into[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room);
        self.sent.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let joined: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.write(&joined)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn shutdown_write(&mut self) {}
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// What a player is told of the stream: kind, time, body.
type Told = (u8, u32, Vec<u8>);

/// What is published: metadata, headers, then pictures and sound of any size, now and then none.
fn publication(random: &mut Random) -> Vec<Told> {
    let mut metadata = Vec::new();
    let mut amf = Encoder::new(&mut metadata);
    amf.string("onMetaData").begin_ecma_array(1);
    amf.number_property("width", 1_280.0).end_object();
    let mut all = vec![
        (kind::DATA, 0, metadata),
        (kind::VIDEO, 0, b"\x17\0\0\0\0\x01\x64\0\x28".to_vec()),
        (kind::AUDIO, 0, b"\xAF\0\x12\x10".to_vec()),
    ];
    let mut time = u32::try_from(random.below(9_000_000)).unwrap();
    for number in 0..random.below(40) {
        time += u32::try_from(random.below(if number == 9 { 900 } else { 60 })).unwrap();
        let len = match random.below(20) {
            0 => 100_000,
            1..6 => 5_000,
            6 => 1,
            _ => 300,
        };
        // The first one is whole: it says that it is a key frame.
        let least = if number == 0 { 10 } else { 1 };
        let len = least + random.below(len);
        let mut body: Vec<u8> = (0..=250).cycle().take(len).collect();
        let (message_kind, head) = match (number, random.below(3)) {
            (0, _) | (_, 0) => (kind::VIDEO, [0x17, 1, 0, 0, 0]),
            (_, 1) => (kind::VIDEO, [0x27, 1, 0, 0, 0]),
            _ => (kind::AUDIO, [0xAF, 1, 9, 9, 9]),
        };
        for (place, byte) in body.iter_mut().zip(head) {
            *place = byte;
        }
        all.push((message_kind, time, body));
    }
    all
}

/// A worker and the connections to it.
struct World {
    core: Core<Socket>,
    now: Instant,
}

impl World {
    fn new(chunk_size: u32) -> Self {
        let config = Config {
            pace: Pace::Fixed(Duration::ZERO),
            chunk_size,
            ..Config::default()
        };
        let now = Instant::now();
        let shared = Arc::new(Shared::new(config, 1, 10));
        let core = Core::new(WorkerId::FIRST, shared, 7, now);
        Self { core, now }
    }

    fn accept(&mut self, room: usize) -> ConnId {
        let socket = Socket {
            input: Vec::new(),
            sent: Vec::new(),
            room,
        };
        let peer = "127.0.0.1:1".parse().unwrap();
        self.core.accept(socket, peer).unwrap()
    }

    /// Lets `key` send `bytes`; what it was sent since the last time.
    fn exchange(&mut self, key: ConnId, bytes: &[u8]) -> Vec<u8> {
        let socket = self.core.socket_mut(key).expect("the connection is open");
        socket.input.extend_from_slice(bytes);
        self.core.on_ready(key, true, false);
        // A write that took less than it was given is followed by an event that there is room.
        let (mut quiet, mut before) = (0, 0);
        while quiet < 4 {
            self.now += Duration::from_micros(100);
            self.core.on_ready(key, false, true);
            self.core.turn(&mut self.now);
            self.core.take_publishers();
            let sent = self
                .core
                .socket_mut(key)
                .map_or(0, |socket| socket.sent.len());
            quiet = if sent == before { quiet + 1 } else { 0 };
            before = sent;
        }
        let socket = self.core.socket_mut(key).expect("the connection is open");
        assert!(socket.input.is_empty(), "all of it was read");
        std::mem::take(&mut socket.sent)
    }
}

/// The encoder's bytes before the media, which comes in chunks of this size.
fn opening(chunk_size: usize) -> Vec<u8> {
    let mut wire = script::opening("publish", "live", "cam");
    Control::SetChunkSize(u32::try_from(chunk_size).unwrap()).encode(&mut wire);
    wire
}

/// rml_rtmp's client as a player.
struct Reference {
    handshake: Handshake,
    session: ClientSession,
    is_shaken: bool,
    is_playing: bool,
    told: Vec<Told>,
    /// Metadata, which it tells without time and body.
    metadata: usize,
}

impl Reference {
    fn new() -> Self {
        let (session, results) = ClientSession::new(ClientSessionConfig::new()).unwrap();
        assert!(results.is_empty());
        Self {
            handshake: Handshake::new(PeerType::Client),
            session,
            is_shaken: false,
            is_playing: false,
            told: Vec::new(),
            metadata: 0,
        }
    }

    /// Reads what the relay sent; what to send to it.
    fn read(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.is_shaken {
            let results = self.session.handle_input(bytes).expect("a session");
            return self.follow(results);
        }
        match self.handshake.process_bytes(bytes).expect("a handshake") {
            HandshakeProcessResult::InProgress { response_bytes } => response_bytes,
            HandshakeProcessResult::Completed {
                mut response_bytes,
                remaining_bytes,
            } => {
                self.is_shaken = true;
                let connect = self.session.request_connection("live".to_owned()).unwrap();
                response_bytes.extend(self.follow(vec![connect]));
                response_bytes.extend(self.read(&remaining_bytes));
                response_bytes
            }
        }
    }

    fn follow(&mut self, results: Vec<ClientSessionResult>) -> Vec<u8> {
        let mut out = Vec::new();
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => out.extend(packet.bytes),
                ClientSessionResult::RaisedEvent(event) => out.extend(self.note(event)),
                // Abort, peer bandwidth and what it has no event for.
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        out
    }

    fn note(&mut self, event: ClientSessionEvent) -> Vec<u8> {
        match event {
            ClientSessionEvent::ConnectionRequestAccepted => {
                let play = self.session.request_playback("cam".to_owned()).unwrap();
                return self.follow(vec![play]);
            }
            ClientSessionEvent::PlaybackRequestAccepted => self.is_playing = true,
            ClientSessionEvent::StreamMetadataReceived { metadata } => {
                assert_eq!(metadata.video_width, Some(1_280));
                self.metadata += 1;
            }
            ClientSessionEvent::VideoDataReceived { timestamp, data } => {
                self.told
                    .push((kind::VIDEO, timestamp.value, data.to_vec()));
            }
            ClientSessionEvent::AudioDataReceived { timestamp, data } => {
                self.told
                    .push((kind::AUDIO, timestamp.value, data.to_vec()));
            }
            ClientSessionEvent::UnhandleableOnStatusCode { code } => {
                assert_eq!(code, "NetStream.Play.Reset");
            }
            other => panic!("{other:?}"),
        }
        Vec::new()
    }
}

fn session(seed: u64) {
    let random = &mut Random(seed);
    let chunk_size = [128, 1_000, 4_096, 65_536][random.below(4)];
    let mut world = World::new(u32::try_from([128, 4_096, 65_536][random.below(3)]).unwrap());
    let publisher = world.accept(usize::MAX);
    let player = world.accept([1_000, 4_097, usize::MAX][random.below(3)]);
    world.exchange(publisher, &opening(chunk_size));
    let mut reference = Reference::new();
    let mut up = reference.handshake.generate_outbound_p0_and_p1().unwrap();
    while !up.is_empty() {
        let down = world.exchange(player, &up);
        up = reference.read(&down);
    }
    assert!(reference.is_playing, "seed {seed}: it plays");
    let published = publication(random);
    for (message_kind, time, body) in &published {
        let mut wire = Vec::new();
        script::encode(&mut wire, (*message_kind, *time, 1), body, chunk_size);
        world.exchange(publisher, &wire);
        let down = world.exchange(player, &[]);
        let up = reference.read(&down);
        world.exchange(player, &up);
    }
    let media: Vec<Told> = published
        .into_iter()
        .filter(|(message_kind, ..)| *message_kind != kind::DATA)
        .collect();
    assert_eq!(reference.metadata, 1, "seed {seed}: metadata");
    assert_eq!(reference.told.len(), media.len(), "seed {seed}: messages");
    for (number, (told, published)) in reference.told.iter().zip(&media).enumerate() {
        assert!(
            told == published,
            "seed {seed}: message {number} has changed"
        );
    }
}

#[test]
fn what_a_player_gets_is_a_session_to_an_independent_reader() {
    let cases = std::env::var("PROPTEST_CASES").ok();
    let cases = cases.map_or(1_000, |cases| cases.parse().expect("a number"));
    (0..cases).for_each(session);
}
