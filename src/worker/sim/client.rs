//! A simulated client: a real client session, what it does with it, and how well it behaves.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tailwater_testkit::{client, commands};

use super::Trace;
use super::encoder::Encoder;
use super::player::{Half, Player};
use super::rng::Rng;
use super::truth::Truth;
use super::wire::{End, Pipe, Wire};
use crate::rtmp::client::{Action, ClientEvent};
use crate::rtmp::control::UserControl;
use crate::rtmp::handshake::Mode;
use crate::rtmp::message::{Message, MessageStreamId, kind};

/// How fast a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appetite {
    /// Everything at once.
    Fast,
    /// So many bytes a step.
    Slow(usize),
    /// Nothing for so many steps.
    Stalled(usize),
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: usize,
    pub(super) wire: Rc<RefCell<Wire>>,
    trace: Trace,
    session: client::Client,
    /// What the session has to send and the network has not taken.
    sending: Pipe,
    /// When the relay had read all of that, as far as the truth knows.
    all_read_at: u64,
    pub(super) action: Action,
    /// Of what it sends.
    chunk_size: usize,
    pub(super) appetite: Appetite,
    /// Unplugged: nothing goes in or out any more, and nobody is told.
    pub(super) vanished: bool,
    /// It ends like this when everything is sent.
    pub(super) leaving: Option<End>,
    /// It is over with this client.
    pub(super) gone: bool,
    /// The relay has ended the connection.
    pub(super) is_closed: bool,
    /// What it was told last of what it publishes.
    pub(super) heard: String,
    pub(super) players: Vec<Player>,
    /// Its publications: message stream, and index in the truth.
    pub(super) publications: Vec<Published>,
    /// Does something else besides on a second message stream.
    second: Second,
    /// A command was sent and its barrier has not come back.
    barrier: Option<u32>,
}

/// A publish of a client.
#[derive(Debug)]
pub(super) struct Published {
    msid: MessageStreamId,
    pub(super) publication: usize,
    pub(super) stream: usize,
    /// The relay has taken it, as it says itself.
    pub(super) accepted: bool,
    encoder: Option<Encoder>,
}

/// What a client does on message stream 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    Nothing,
    Play { stream: usize, deaf: bool },
    Publish { stream: usize },
    Done,
}

/// The message streams in use.
const FIRST: MessageStreamId = MessageStreamId(1);
const SECOND: MessageStreamId = MessageStreamId(2);

impl Client {
    pub(super) fn new(
        id: usize,
        rng: &mut Rng,
        truth: &mut Truth,
        (action, stream): (Action, usize),
        trace: Trace,
    ) -> Self {
        let chunk_size = rng.pick(&[128, 128, 200, 4_096, 65_536]);
        let mut request = client::request(action, "live", truth.key(stream));
        request.handshake = rng.pick(&[Mode::Plain, Mode::Digest]);
        request.chunk_size = u32::try_from(chunk_size).unwrap();
        let (mut players, mut publications) = (Vec::new(), Vec::new());
        match action {
            Action::Play => players.push(Player::new(FIRST, stream)),
            Action::Publish => publications.push(Published::new(FIRST, truth, stream)),
        }
        let other = rng.below(truth.lines.len());
        let second = match (action, rng.below(100)) {
            (_, 0..5) => Second::Publish { stream: other },
            (Action::Play, 5..15) | (Action::Publish, 5..10) => Second::Play {
                stream: other,
                deaf: rng.chance(300),
            },
            _ => Second::Nothing,
        };
        let appetite = match (action, rng.below(10)) {
            (Action::Play, 0..2) => Appetite::Slow(rng.range(20, 3_000)),
            (Action::Play, 2) => Appetite::Stalled(rng.range(10, 400)),
            _ => Appetite::Fast,
        };
        let room = rng.pick(&[2_048, 16_384, 65_536, 262_144]);
        Self {
            id,
            wire: Rc::new(RefCell::new(Wire::new(
                rng.pick(&[4_096, 65_536, 262_144]),
                room,
            ))),
            trace,
            session: client::Client::new(request, rng.next()),
            sending: Pipe::new(usize::MAX),
            all_read_at: truth.now,
            action,
            chunk_size,
            appetite,
            vanished: false,
            leaving: None,
            gone: false,
            is_closed: false,
            heard: String::new(),
            players,
            publications,
            second,
            barrier: None,
        }
    }

    /// The same client, which does nothing besides.
    pub(super) fn alone(mut self) -> Self {
        self.second = Second::Nothing;
        self
    }

    /// One step of whatever this client does.
    pub(super) fn act(&mut self, rng: &mut Rng, truth: &mut Truth) -> Option<String> {
        if self.gone || self.vanished || self.leaving.is_some() {
            return None;
        }
        let is_settled = self.players.iter().all(|player| player.asked.is_none());
        if self.session.msid().is_some() && is_settled && self.second_asked(truth) {
            return Some(format!("begins {:?}", self.second));
        }
        self.publish_some(rng, truth);
        if rng.chance(2) {
            self.appetite =
                rng.pick(&[Appetite::Fast, Appetite::Slow(500), Appetite::Stalled(150)]);
        }
        if let Appetite::Stalled(steps) = self.appetite {
            self.appetite = match steps {
                0 => Appetite::Fast,
                _ => Appetite::Stalled(steps - 1),
            };
        }
        let leaves = match self.action {
            Action::Publish => 4,
            Action::Play => 2,
        };
        if rng.chance(leaves) {
            return Some(self.leave(rng, truth));
        }
        if self.barrier.is_none() && !self.players.is_empty() && rng.chance(25) {
            return self.command(rng, truth);
        }
        if rng.chance(3) {
            return self.publish_again(truth);
        }
        None
    }

    /// Sends a message or some for each of its publications, or none.
    pub(super) fn publish_some(&mut self, rng: &mut Rng, truth: &mut Truth) {
        if self.sending.len() > 1 << 19 {
            return;
        }
        for published in &mut self.publications {
            if let Some(encoder) = &mut published.encoder {
                for _ in 0..rng.pick(&[0, 0, 0, 1, 1, 2, 4]) {
                    let out = self.session.out().writer();
                    encoder.emit(rng, truth, &mut self.chunk_size, out);
                }
            }
        }
        self.collect();
    }

    /// Begins what it does besides, once it can.
    fn second_asked(&mut self, truth: &mut Truth) -> bool {
        let (name, stream) = match self.second {
            Second::Nothing | Second::Done => return false,
            Second::Play { stream, .. } => ("play", stream),
            Second::Publish { stream } => ("publish", stream),
        };
        self.session
            .send_command(MessageStreamId::CONTROL, commands::create_stream());
        let deaf = matches!(self.second, Second::Play { deaf: true, .. });
        if deaf {
            let call = commands::flag("receiveAudio", false);
            self.session.send_command(SECOND, call);
        }
        let call = commands::of_stream(name, truth.key(stream));
        self.session.send_command(SECOND, call);
        match self.second {
            Second::Publish { .. } => {
                self.publications
                    .push(Published::new(SECOND, truth, stream));
            }
            _ => {
                self.session.expect_media();
                let mut player = Player::new(SECOND, stream);
                player.off_next.0 = deaf;
                self.players.push(player);
            }
        }
        self.second = Second::Done;
        self.collect();
        true
    }

    /// A publisher stops and asks for the same stream again on the same connection.
    fn publish_again(&mut self, truth: &mut Truth) -> Option<String> {
        let published = self.publications.iter_mut().find(|p| p.encoder.is_some())?;
        let (msid, stream) = (published.msid, published.stream);
        published.stop(truth);
        *published = Published::new(msid, truth, stream);
        let key = truth.key(stream);
        let session = &mut self.session;
        session.send_command(msid, commands::close_stream());
        session.send_command(msid, |amf| {
            commands::of_stream("publish", key)(amf);
            amf.string("LIVE");
        });
        self.collect();
        Some(format!("publishes {key} again"))
    }

    fn leave(&mut self, rng: &mut Rng, truth: &mut Truth) -> String {
        for published in &mut self.publications {
            published.stop(truth);
        }
        match rng.below(5) {
            0 => {
                self.vanished = true;
                "is unplugged".to_owned()
            }
            1 => {
                self.wire.borrow_mut().client_ends(End::Reset);
                self.gone = true;
                "resets".to_owned()
            }
            2 => {
                self.leaving = Some(End::Fin);
                "sends no more".to_owned()
            }
            3 => {
                self.leaving = Some(End::Closed);
                "closes".to_owned()
            }
            _ => {
                self.end_streams(truth);
                "takes its leave".to_owned()
            }
        }
    }

    /// Ends what it publishes and plays as encoders and players do, and closes.
    pub(super) fn end_streams(&mut self, truth: &mut Truth) {
        for published in &mut self.publications {
            published.stop(truth);
        }
        for msid in [FIRST, SECOND] {
            self.session
                .send_command(MessageStreamId::CONTROL, commands::delete_stream(msid.0));
        }
        self.players.clear();
        self.collect();
        self.leaving = Some(End::Closed);
    }

    /// Everything this client does ends now.
    pub(super) fn quit(&mut self, truth: &mut Truth) {
        for published in &mut self.publications {
            published.stop(truth);
        }
        self.leaving.get_or_insert(End::Closed);
        if self.sending.len() > 1 << 17 {
            // It does not wait for the last byte.
            self.wire.borrow_mut().client_ends(End::Reset);
            self.gone = true;
        }
    }

    /// A command of a player, with a ping behind it whose answer says that it was read.
    fn command(&mut self, rng: &mut Rng, truth: &Truth) -> Option<String> {
        let index = rng.below(self.players.len());
        let alone = self.players.len() == 1;
        let player = &mut self.players[index];
        let msid = player.msid;
        let other = rng.below(truth.lines.len());
        let key = truth.key(other);
        let session = &mut self.session;
        let what = match rng.below(if player.playing { 9 } else { 1 }) {
            0 if player.asked.is_none() => {
                player.asked = Some(other);
                session.send_command(msid, commands::play(key));
                format!("plays {key}")
            }
            1 => {
                session.send_command(msid, commands::close_stream());
                "stops".to_owned()
            }
            2 | 3 => {
                let pause = !player.paused;
                session.send_command(msid, commands::pause(pause));
                format!("pauses {pause}")
            }
            4 => {
                let time = player.last_seen().wrapping_sub(rng.millis(0, 8_000));
                player.begin_seek();
                session.send_command(msid, commands::seek(f64::from(time)));
                format!("seeks {time}")
            }
            5 => {
                player.switching = true;
                session.send_command(msid, commands::switch(key));
                format!("switches to {key}")
            }
            what @ (6 | 7) if alone && player.asked.is_none() && !player.switching => {
                let (name, kind, half) = match what {
                    6 => ("receiveAudio", kind::AUDIO, &mut player.audio),
                    _ => ("receiveVideo", kind::VIDEO, &mut player.video),
                };
                let on = *half == Half::Off;
                if !on {
                    *half = Half::Either;
                }
                player.turns_on = on.then_some(kind);
                session.send_command(msid, commands::flag(name, on));
                format!("{name} {on}")
            }
            _ => return None,
        };
        self.barrier = Some(self.session.ping());
        self.collect();
        Some(format!("{what} on {msid}"))
    }

    /// Moves what the session has to send to the network's side.
    fn collect(&mut self) {
        let sending = &mut self.sending;
        self.session.write(|bytes| {
            sending.push(bytes);
            bytes.len()
        });
    }

    /// The network and the client's kernel: up to `count` bytes go to the relay.
    pub(super) fn send(&mut self, count: usize) -> bool {
        if self.gone || self.vanished {
            return false;
        }
        let mut wire = self.wire.borrow_mut();
        let sent = wire.client_send(self.sending.front(), count);
        self.sending.consume(sent);
        if self.sending.is_empty()
            && let Some(end) = self.leaving
            && wire.client_end == End::Open
        {
            wire.client_ends(end);
            self.gone = end == End::Closed;
            return true;
        }
        sent > 0
    }

    /// The client reads up to `count` bytes, as many as it cares to; whether it read any.
    pub(super) fn read(&mut self, truth: &mut Truth, count: usize) -> Result<bool, String> {
        if self.gone || self.vanished {
            return Ok(false);
        }
        let count = match self.appetite {
            Appetite::Fast => count,
            Appetite::Slow(bytes) => count.min(bytes),
            Appetite::Stalled(_) => 0,
        };
        let (input, is_over) = self.wire.borrow_mut().client_read(count);
        if input.is_empty() && is_over {
            self.hear_end(truth);
            return Ok(true);
        }
        if input.is_empty() {
            return Ok(false);
        }
        self.decode(truth, &input)?;
        self.collect();
        Ok(true)
    }

    /// A proxy connects for it, which says so first; now and then it does not, or nonsense.
    pub(super) fn say_proxied(&mut self, rng: &mut Rng, client: SocketAddr) {
        let (ip, port) = (client.ip(), client.port());
        let header = match rng.below(12) {
            0 => "PROXY TCP4 nobody\r\n".to_owned(),
            1 => String::new(),
            2..5 => {
                // The rest never comes, nor anything else.
                let begun = b"PROXY TCP4 10.";
                self.wire.borrow_mut().client_send(begun, usize::MAX);
                self.vanished = true;
                return;
            }
            _ => format!("PROXY TCP4 {ip} 10.0.0.254 {port} 1935\r\n"),
        };
        self.sending.push(header.as_bytes());
    }

    /// The relay has ended the connection.
    fn hear_end(&mut self, truth: &mut Truth) {
        for published in &mut self.publications {
            published.stop(truth);
        }
        self.gone = true;
        self.is_closed = true;
        self.wire.borrow_mut().client_ends(End::Closed);
    }

    fn decode(&mut self, truth: &mut Truth, input: &[u8]) -> Result<(), String> {
        let mut at = 0;
        loop {
            let event = self
                .session
                .next(input, &mut at)
                .map_err(|error| format!("the relay broke the protocol: {error}"))?;
            match event {
                None => break,
                Some(ClientEvent::Media(message)) => {
                    let id = self.id;
                    self.trace.note(|| {
                        let header = message.header;
                        let (kind, time, len) = (header.kind, header.timestamp.0, header.len);
                        let player = self.players.iter().find(|p| p.msid == header.msid);
                        let body = message.payload.to_vec();
                        let known = player.map(|p| truth.identify(p.stream, kind, &body));
                        format!(
                            "    client {id} gets {kind} @{time} on {}, {len} bytes: {known:x?}",
                            header.msid
                        )
                    });
                    if self.leaving.is_none() {
                        judge(&mut self.players, truth, &message)?;
                    }
                }
                Some(ClientEvent::Status {
                    msid,
                    code,
                    description,
                    ..
                }) => self.hear(truth, msid, &code, &description)?,
                Some(ClientEvent::Control(UserControl::PingResponse(number))) => {
                    self.pass_barrier(number);
                }
                Some(ClientEvent::Refused { code, .. }) => return Err(format!("refused: {code}")),
                Some(ClientEvent::Connected { .. } | ClientEvent::Control(_)) => {}
            }
        }
        self.session
            .end_input(input, at)
            .map_err(|error| format!("the client cannot answer: {error}"))
    }

    fn pass_barrier(&mut self, number: u32) {
        if self.barrier == Some(number) {
            self.barrier = None;
            self.players.iter_mut().for_each(Player::pass_barrier);
        }
    }

    fn hear(
        &mut self,
        truth: &mut Truth,
        msid: MessageStreamId,
        code: &str,
        description: &str,
    ) -> Result<(), String> {
        let id = self.id;
        self.trace
            .note(|| format!("    client {id} hears {code} on {msid}: {description}"));
        if let Some(published) = self.publications.iter_mut().find(|p| p.msid == msid) {
            code.clone_into(&mut self.heard);
            match code {
                "NetStream.Publish.Start"
                    if published.encoder.is_none()
                        && truth.publications[published.publication].open =>
                {
                    let seed = truth.publications.len() + self.id;
                    let rng = &mut Rng::new(seed as u64);
                    let encoder = Encoder::new(rng, published.publication, msid);
                    published.encoder = Some(match truth.is_plain {
                        true => encoder.plain(),
                        false => encoder,
                    });
                }
                "NetStream.Publish.BadName" | "NetStream.Publish.Denied" => published.stop(truth),
                _ => {}
            }
        }
        match self.players.iter_mut().find(|player| player.msid == msid) {
            Some(player) => player.hear(truth, code, description),
            None => Ok(()),
        }
    }

    /// Tells the truth what of its publications has been under way for how long.
    pub(super) fn note_kept_back(&mut self, truth: &mut Truth) {
        if self.has_sent() && self.wire.borrow().to_relay.is_empty() {
            self.all_read_at = truth.now;
        }
        for published in &self.publications {
            truth.note_kept_back(published.publication, self.all_read_at);
        }
    }

    /// Whether everything that was sent has left the client.
    pub(super) fn has_sent(&self) -> bool {
        self.sending.is_empty()
    }
}

fn judge(players: &mut [Player], truth: &mut Truth, message: &Message<'_>) -> Result<(), String> {
    let msid = message.header.msid;
    let player = players
        .iter_mut()
        .find(|player| player.msid == msid)
        .ok_or_else(|| format!("media on message stream {msid}, where nothing plays"))?;
    player.take(truth, message)
}

impl Published {
    fn new(msid: MessageStreamId, truth: &mut Truth, stream: usize) -> Self {
        Self {
            msid,
            publication: truth.open(),
            stream,
            accepted: false,
            encoder: None,
        }
    }

    /// Whether it may still send.
    pub(super) fn is_on(&self) -> bool {
        self.accepted && self.encoder.is_some()
    }

    /// Whether it was just told that it may send.
    pub(super) fn has_begun(&self) -> bool {
        !self.accepted && self.encoder.is_some()
    }

    pub(super) fn stop(&mut self, truth: &mut Truth) {
        truth.publications[self.publication].open = false;
        self.encoder = None;
    }
}
