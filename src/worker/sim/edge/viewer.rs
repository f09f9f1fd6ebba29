//! Somebody who plays a stream at a relay.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tailwater_testkit::client::{self, Client};
use tailwater_testkit::judge::relayed::Relayed;

use super::super::truth::Truth;
use super::super::wire::{End, Wire};
use crate::edge::hops;
use crate::rtmp::client::{Action, ClientEvent};
use crate::rtmp::message::Message;

/// See the module text.
pub(super) struct Viewer {
    pub(super) wire: Rc<RefCell<Wire>>,
    pub(super) relay: usize,
    client: Client,
    pub(super) judge: Relayed,
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
        let stream_name = format!("{}{query}", name.trim_start_matches("live/"));
        let mut request = client::request(Action::Play, "live", &stream_name);
        request.chunk_size = 128;
        request.property = (hops::VIA_KEY, via);
        Self {
            wire: Rc::new(RefCell::new(Wire::new(16_384, 262_144))),
            relay,
            client: Client::new(request, dials),
            judge: Relayed::new(stream, dials),
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
        let mut wire = self.wire.borrow_mut();
        let sent = self
            .client
            .write(|bytes| wire.client_send(bytes, usize::MAX));
        let (input, is_over) = wire.client_read(self.appetite);
        drop(wire);
        let Self {
            client,
            judge,
            is_playing,
            heard,
            ..
        } = self;
        client.read(time, &input, |event| {
            match event {
                ClientEvent::Media(_) if !*is_playing => {
                    return Err("media while nothing plays".to_owned());
                }
                ClientEvent::Media(Message { header, payload }) => {
                    judge.take(truth, header.kind, header.timestamp, &payload)?;
                }
                ClientEvent::Status { code, .. } => {
                    match code.as_str() {
                        "NetStream.Play.Start" => *is_playing = true,
                        "NetStream.Play.StreamNotFound" | "NetStream.Play.UnpublishNotify" => {
                            *is_playing = false;
                        }
                        _ => {}
                    }
                    *heard = code;
                }
                ClientEvent::Refused { code, .. } => *heard = code,
                ClientEvent::Connected { .. } | ClientEvent::Control(_) => {}
            }
            Ok(())
        })?;
        if is_over {
            self.leave(End::Closed);
        }
        Ok(!input.is_empty() || sent > 0 || is_over)
    }
}
