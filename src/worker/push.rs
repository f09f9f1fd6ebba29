//! Streams handed on to other servers. To the stream a target is a player like any other, with a
//! cursor on its log: a slow or dead one costs the publisher and the other players nothing.
//!
//! ```text
//!   publish accepted --> Calling --> Up: publish there --> a player of the stream
//!                           ^                                     |
//!                           +------ backoff <--- lost, refused <--+
//! ```
//!
//! While the publisher is away the line stays as it is; when the stream ends, so does the publish
//! over there.

use std::time::Instant;

use log::{info, warn};

use super::conn::{CloseReason, Play};
use super::core::Core;
use super::fault::Midst;
use super::ingress::Flow;
use super::line::{Line, State, Task};
use super::session::Answer;
use super::table::{Form, Player, Source};
use crate::edge::backoff;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::name::StreamName;
use crate::stream::cursor::Cursor;

/// One target of a stream.
#[derive(Debug)]
pub(super) struct Push {
    /// Index of the rule.
    pub(super) rule: usize,
    /// The stream, with the query of its publisher.
    pub(super) name: StreamName,
    pub(super) line: Line,
    /// The target has accepted it.
    pub(super) is_publishing: bool,
}

impl<S: Transport> Core<S> {
    /// A stream is published here: it is handed on to every target there is for it.
    pub(super) fn begin_pushes(&mut self, index: usize, name: &StreamName) {
        for rule in 0..self.shared.config.push.len() {
            if !self.shared.config.push[rule].is_for(&name.app) {
                continue;
            }
            let stream = &mut self.streams[index];
            if stream.pushes.iter().all(|push| push.rule != rule) {
                stream.pushes.push(Push {
                    rule,
                    name: name.clone(),
                    line: Line::new(self.now),
                    is_publishing: false,
                });
            }
        }
        self.check_pushes(index);
    }

    /// Calls the targets whose time has come.
    pub(super) fn check_pushes(&mut self, index: usize) {
        let now = self.now;
        for slot in 0..self.streams[index].pushes.len() {
            let stream = &self.streams[index];
            // While the publisher is away there is nothing to hand on.
            let Source::Publisher(_) = stream.source else {
                return;
            };
            let push = &stream.pushes[slot];
            match push.line.state {
                State::Waiting(until) if until > now => self.look_at_stream(index, until),
                State::Waiting(_) => self.call(index, Task::Push(push.rule)),
                State::Calling(_) => self.check_call(index, Task::Push(push.rule)),
                State::Up(_) => {}
            }
        }
    }

    /// What a target says.
    pub(super) fn push_answered(
        &mut self,
        key: usize,
        index: usize,
        rule: usize,
        answer: Answer,
    ) -> Flow {
        let why = match answer {
            Answer::Other => return Flow::Continue,
            Answer::Refused { why, .. } => why,
            Answer::Status { code, .. } if code == "NetStream.Publish.Start" => {
                self.push_accepted(key, index, rule);
                return Flow::Continue;
            }
            Answer::Status {
                is_error,
                code,
                description,
                ..
            } => {
                let is_over = [
                    "NetStream.Unpublish.Success",
                    "NetConnection.Connect.Closed",
                ]
                .contains(&code.as_str());
                if !is_error && !is_over && !code.ends_with("ReconnectRequest") {
                    return Flow::Continue;
                }
                format!("{code} {description}")
            }
        };
        let why: String = why.trim().chars().take(200).collect();
        self.gauges.push_refusals += 1;
        self.targets[rule].refusals += 1;
        if self.shared.config.push_strict.is_on() {
            self.close_publisher(index);
        }
        Flow::Close(CloseReason::Refused(why.into()))
    }

    /// With `--push-strict` a publisher stands or falls with its targets.
    fn close_publisher(&mut self, index: usize) {
        let Source::Publisher(publisher) = self.streams[index].source else {
            return;
        };
        let why = "a server that the stream is handed on to refuses it";
        let conn = &mut self.conns[publisher];
        for publication in conn.publications.clone() {
            let status = Status::PublishDenied;
            conn.session.reject(publication.msid, status, why);
        }
        self.close(publisher, &CloseReason::Rejected(why));
    }

    /// The target takes the stream: it becomes a player.
    fn push_accepted(&mut self, key: usize, index: usize, rule: usize) {
        let now = self.now;
        let conn = &mut self.conns[key];
        let Some(msid) = conn.session.client().and_then(|client| client.msid()) else {
            return;
        };
        if !conn.plays.is_empty() {
            return;
        }
        let stream = &mut self.streams[index];
        let pushes = &mut stream.pushes;
        let Some(push) = pushes.iter_mut().find(|push| push.rule == rule) else {
            return;
        };
        push.is_publishing = true;
        push.line.failures = 0;
        let server = &self.shared.config.push[rule].servers[0];
        info!(
            "conn={} push stream={} to={} peer={}",
            conn.id,
            quoted(&stream.name),
            server.authority,
            conn.peer
        );
        stream.log.flush();
        let start = self.shared.config.start_at();
        let cursor = Cursor::new(&stream.log, start);
        let mut player = Player::new(key, msid, false, cursor);
        player.started = true;
        player.form = Form::Publish;
        let slot = stream.players.len();
        stream.players.push(player);
        self.faults.at(Midst::Line);
        self.players += 1;
        conn.plays.push(Play {
            msid,
            stream: index,
            slot,
            switching: false,
            wait_until: None,
        });
        conn.has_played = true;
        self.arm(key, now + self.shared.config.send_timeout);
        self.wake(key);
    }

    /// The line to a target is lost, or never came about: it is called again later.
    pub(super) fn push_failed(&mut self, index: usize, rule: usize, why: &str) {
        self.gauges.push_failures += 1;
        self.targets[rule].failures += 1;
        let dice = self.next_seed(index as u64);
        let now = self.now;
        let stream = &mut self.streams[index];
        let pushes = &mut stream.pushes;
        let Some(push) = pushes.iter_mut().find(|push| push.rule == rule) else {
            return;
        };
        push.is_publishing = false;
        self.faults.at(Midst::Line);
        let until: Instant = now + backoff::delay(push.line.failures, dice);
        push.line.state = State::Waiting(until);
        let server = &self.shared.config.push[rule].servers[0];
        if self.notes.allow("push_failed", log::Level::Warn, now) {
            warn!(
                "push failed stream={} to={} why={} again_in_ms={}",
                quoted(&stream.name),
                server.authority,
                quoted(why),
                (until - now).as_millis()
            );
        }
        self.look_at_stream(index, until);
    }

    /// Brings the figures of targets up to date; how many streams they take together.
    pub(super) fn count_targets(&mut self) -> u64 {
        let Self {
            streams,
            conns,
            targets,
            ..
        } = self;
        for target in &mut *targets {
            target.streams = 0;
        }
        for push in streams.iter().flat_map(|(_, stream)| &stream.pushes) {
            targets[push.rule].streams += u64::from(push.is_publishing);
            if let Some(conn) = push.line.conn().and_then(|key| conns.get_mut(key)) {
                conn.count_sent(targets);
            }
        }
        targets.iter().map(|target| target.streams).sum()
    }

    /// The stream ends: targets that take it are told with its other players, the rest is given
    /// up.
    pub(super) fn forget_pushes(&mut self, index: usize) {
        for push in std::mem::take(&mut self.streams[index].pushes) {
            let key = push.line.conn();
            let conn = key.and_then(|key| self.conns.get_mut(key));
            let is_its = |conn: &&mut super::conn::Conn<S>| {
                !conn.plays.is_empty() && conn.errand.is_some_and(|its| its.stream == index)
            };
            match conn.filter(is_its) {
                Some(conn) => conn.errand = None,
                None => self.hang_up(index, &push.line),
            }
        }
    }
}
