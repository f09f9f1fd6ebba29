//! Somebody who plays a stream at a relay.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::truth::Truth;
use super::super::wire::{End, Wire};
use super::judge::Judge;
use crate::edge::hops;
use crate::rtmp::client::{Action, ClientEvent, ClientRequest, ClientSession};
use crate::rtmp::handshake::Mode;

/// See the module text.
pub(super) struct Viewer {
    pub(super) wire: Rc<RefCell<Wire>>,
    pub(super) relay: usize,
    session: ClientSession,
    pub(super) judge: Judge,
    pub(super) came_at: Instant,
    pub(super) is_playing: bool,
    pub(super) gone: bool,
    /// What it was told last, and when.
    pub(super) heard: String,
    /// Bytes it reads in a step.
    appetite: usize,
}

impl Viewer {
    pub(super) fn new(
        (relay, stream): (usize, usize),
        name: &str,
        dials: u64,
        appetite: usize,
        (query, via): (&str, String),
        now: Instant,
    ) -> Self {
        let request = ClientRequest {
            app: "live".to_owned(),
            tc_url: "rtmp://relay/live".to_owned(),
            stream: format!("{}{query}", name.trim_start_matches("live/")),
            action: Action::Play,
            handshake: Mode::Plain,
            chunk_size: 128,
            property: (hops::VIA_KEY, via),
            ..ClientRequest::default()
        };
        Self {
            wire: Rc::new(RefCell::new(Wire::new(16_384, 262_144))),
            relay,
            session: ClientSession::new(request, dials),
            judge: Judge::new(stream, dials),
            came_at: now,
            is_playing: false,
            gone: false,
            heard: String::new(),
            appetite,
        }
    }

    /// It wants everything at once from now on.
    pub(super) fn hurry(&mut self) {
        self.appetite = usize::MAX;
    }

    pub(super) fn leave(&mut self, end: End) {
        self.gone = true;
        self.wire.borrow_mut().client_ends(end);
    }

    /// Sends and reads; whether anything moved.
    pub(super) fn act(&mut self, truth: &Truth, time: Duration) -> Result<bool, String> {
        if self.gone {
            return Ok(false);
        }
        self.session.set_now(time);
        let (input, is_over, sent) = {
            let mut wire = self.wire.borrow_mut();
            let out = self.session.out();
            let sent = wire.client_send(out.pending(), usize::MAX);
            out.advance(sent);
            let count = self.appetite.min(wire.to_client.len());
            let input = wire.to_client.front()[..count].to_vec();
            wire.client_took(count);
            (input, wire.relay_fin && wire.to_client.is_empty(), sent)
        };
        self.decode(&input, truth)?;
        if is_over {
            self.leave(End::Closed);
        }
        Ok(!input.is_empty() || sent > 0 || is_over)
    }

    fn decode(&mut self, input: &[u8], truth: &Truth) -> Result<(), String> {
        let mut at = 0;
        loop {
            let event = self.session.next(input, &mut at);
            match event.map_err(|error| format!("the relay broke the protocol: {error}"))? {
                None => break,
                Some(ClientEvent::Media(message)) => {
                    if !self.is_playing {
                        return Err("media while nothing plays".to_owned());
                    }
                    let header = message.header;
                    let body = message.payload.to_vec();
                    let judge = &mut self.judge;
                    judge.take(truth, header.kind, header.timestamp, &body)?;
                }
                Some(ClientEvent::Status { code, .. }) => {
                    match code.as_str() {
                        "NetStream.Play.Start" => self.is_playing = true,
                        "NetStream.Play.StreamNotFound" | "NetStream.Play.UnpublishNotify" => {
                            self.is_playing = false;
                        }
                        _ => {}
                    }
                    self.heard = code;
                }
                Some(ClientEvent::Refused { code, .. }) => self.heard = code,
                Some(ClientEvent::Connected { .. } | ClientEvent::Control(_)) => {}
            }
        }
        let ended = self.session.end_input(input, at);
        ended.map_err(|error| format!("the viewer cannot answer: {error}"))
    }
}
