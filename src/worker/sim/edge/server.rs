//! A server of another kind, that a stream is asked of or handed on to: it takes what is
//! published, or refuses, or keeps silent. What it takes is judged.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::super::truth::Truth;
use super::super::wire::{End, Wire};
use super::script::{Actor, Script};
use crate::edge::hops::RELAY_KEY;
use crate::rtmp::amf0::Encoder as Amf;
use crate::rtmp::command::Status;
use crate::rtmp::message::{Message, Payload, kind};
use crate::rtmp::server::{Event, Request, ServerSession, WireSettings};
use tailwater_testkit::judge::relayed::Relayed;

/// What it does with whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// Takes what is published, and has nothing.
    Takes,
    /// Takes nothing, and has nothing.
    Refuses,
    /// Says nothing behind the handshake.
    Silent,
    /// Says that it goes on, and neither sends nor reads.
    Stalls,
    /// Closes when it is asked.
    HangsUp,
    /// A hostile origin.
    Plays(Script),
}

/// One connection to it.
pub(super) struct Server {
    temper: Temper,
    session: ServerSession,
    judge: Option<Relayed>,
    /// Of a hostile origin.
    actor: Option<Actor>,
    /// It reads no more.
    stalled: bool,
    pub(super) is_gone: bool,
    /// Messages it was handed.
    pub(super) handed: u64,
}

impl Server {
    pub(super) fn new(temper: Temper, seed: u64) -> Self {
        Self {
            temper,
            session: ServerSession::new(seed),
            judge: None,
            actor: match temper {
                Temper::Plays(script) => Some(Actor::new(script)),
                _ => None,
            },
            stalled: false,
            is_gone: false,
            handed: 0,
        }
    }

    /// It reads on; a hostile origin closes.
    pub(super) fn wake(&mut self) {
        self.stalled = false;
        if self.actor.is_some() {
            self.actor = Some(Actor::new(Script::Closes));
        }
        self.temper = Temper::Takes;
    }

    /// The judge of what it is handed.
    pub(super) fn judge(&self) -> Option<&Relayed> {
        self.judge.as_ref()
    }

    /// Reads and answers up to `count` bytes; whether anything moved.
    pub(super) fn act(
        &mut self,
        near: &Rc<RefCell<Wire>>,
        truth: &mut Truth,
        time: Duration,
        count: usize,
    ) -> Result<bool, String> {
        if self.stalled && near.borrow().relay_gone {
            self.is_gone = true;
        }
        if self.is_gone || self.stalled {
            return Ok(false);
        }
        self.session.set_now(time);
        let (input, is_over) = near.borrow_mut().client_read(count);
        self.decode(&input, truth, time)?;
        if let Some(actor) = &mut self.actor {
            self.is_gone |= !actor.act(&mut self.session, truth, time);
        }
        let mut wire = near.borrow_mut();
        let out = self.session.out();
        let sent = wire.client_send(out.pending(), usize::MAX);
        out.advance(sent);
        if is_over || self.is_gone {
            self.is_gone = true;
            wire.client_ends(End::Closed);
        }
        Ok(!input.is_empty() || sent > 0 || is_over)
    }

    fn decode(&mut self, input: &[u8], truth: &mut Truth, time: Duration) -> Result<(), String> {
        let mut at = 0;
        loop {
            let event = self.session.next(input, &mut at);
            match event.map_err(|error| format!("the relay broke the protocol: {error}"))? {
                None => break,
                Some(Event::Media(message)) => {
                    self.handed += 1;
                    let judge = self.judge.as_mut().ok_or("media without a publish")?;
                    take(judge, truth, &message)?;
                }
                Some(Event::Request(request)) => self.answer(request, truth, time)?,
            }
        }
        let ended = self.session.end_input(input, at);
        ended.map_err(|error| format!("it cannot answer the relay: {error}"))
    }

    fn answer(
        &mut self,
        request: Request,
        truth: &mut Truth,
        time: Duration,
    ) -> Result<(), String> {
        if let Some(actor) = &mut self.actor {
            return actor.answer(&mut self.session, truth, request, time);
        }
        let settings = WireSettings {
            chunk_size: 4_096,
            window_ack: 1 << 20,
        };
        match (request, self.temper) {
            (_, Temper::Silent) => {}
            (Request::Connect, _) => self.session.accept_connect_with(&settings, |properties| {
                properties.boolean_property(RELAY_KEY, true);
            }),
            (Request::Publish { .. } | Request::Play { .. }, Temper::HangsUp) => {
                self.is_gone = true;
            }
            (Request::Publish { msid, .. }, Temper::Refuses) => {
                self.session.reject(msid, Status::PublishDenied, "no");
            }
            (Request::Publish { msid, name, .. }, _) => {
                let name = name.key();
                let stream = truth.line(&name).ok_or("a stream nobody has")?;
                self.judge = Some(Relayed::new(stream, 0));
                self.session.accept_publish(msid, &name);
                self.stalled = self.temper == Temper::Stalls;
            }
            (Request::Play { msid, name, reset }, Temper::Stalls) => {
                self.session.accept_play(msid, &name.key(), reset);
            }
            (Request::Play { msid, .. }, _) => {
                self.session.reject(msid, Status::PlayStreamNotFound, "no");
            }
            _ => {}
        }
        Ok(())
    }
}

/// Judges what an encoder would have sent: metadata comes in `@setDataFrame`.
fn take(judge: &mut Relayed, truth: &Truth, message: &Message<'_>) -> Result<(), String> {
    let header = message.header;
    let body = message.payload.to_vec();
    let mut wrapper = Vec::new();
    Amf::new(&mut wrapper).string("@setDataFrame");
    let mut metadata = Vec::new();
    Amf::new(&mut metadata).string("onMetaData");
    let inner = body.strip_prefix(&wrapper[..]);
    let is_bare = header.kind == kind::DATA && body.starts_with(&metadata);
    if is_bare || inner.is_some_and(|inner| !inner.starts_with(&metadata)) {
        return Err("metadata that is not as encoders send it".to_owned());
    }
    let payload = Payload::from_slice(inner.unwrap_or(&body));
    judge.take(truth, header.kind, header.timestamp, &payload)
}
