//! Streams handed on to other servers. To the stream a target is a player like any other, with a
//! cursor on its log: a slow or dead one costs the publisher and the other players nothing.
//!
//! ```text
//!   publish accepted --> Calling --> Up: publish there --> a player of the stream
//!                           ^                                     |
//!                           +------ backoff <--- lost, refused <--+
//! ```
//!
//! A target that asks for a new connection elsewhere keeps the present one until there is the new
//! one: the line goes on to call, and `former` is the connection that publishes meanwhile.
//!
//! While the publisher is away the line stays as it is; when the stream ends, so does the publish
//! over there.

use std::net::IpAddr;
use std::time::Instant;

use log::{Level, info, warn};

use super::admission::Key;
use super::close_reason::CloseReason;
use super::core::Core;
use super::ids::{ConnId, PushRuleId, StreamId};
use super::ingress::Flow;
use super::line::{Line, State, Task};
use super::session::Answer;
use super::table::{Form, Player, Source};
use crate::edge::backoff;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::name::StreamName;
use crate::stream::cursor::Cursor;

/// One target of a stream.
#[derive(Debug)]
pub(super) struct Push {
    /// Index of the rule.
    pub(super) rule: PushRuleId,
    /// The stream, with the query of its publisher.
    pub(super) name: StreamName,
    /// The address of the publisher, while addresses are counted.
    pub(super) publisher: Option<Key>,
    pub(super) line: Line,
    /// The target has accepted it.
    pub(super) is_publishing: bool,
    /// When it did so last.
    accepted_at: Option<Instant>,
    /// The connection, by slab key, that goes on publishing until the line has taken its place.
    pub(super) former: Option<ConnId>,
    /// When the target last asked for a new connection, ...
    moves_since: Option<Instant>,
    /// ... and how often that was done since it had the stream for long.
    moves: u8,
}

impl Push {
    /// Whether the target has had the stream for so long that a new failure is the first.
    fn has_lasted(&self, now: Instant) -> bool {
        let accepted = self.accepted_at;
        accepted.is_some_and(|at| now.saturating_duration_since(at) > limits::RETRY_MAX)
    }
}

impl<S: Transport> Core<S> {
    /// A stream is published here: it is handed on to every target there is for it.
    pub(super) fn begin_pushes(&mut self, index: StreamId, name: &StreamName, publisher: IpAddr) {
        let publisher = self.shared.admission.key_of(publisher);
        for rule in (0..self.shared.config.push.len()).map(PushRuleId::new) {
            if !self.shared.config.push[rule.index()].is_for(name.judged_app()) {
                continue;
            }
            let stream = &mut self.streams[index];
            let known = stream.pushes.iter_mut().find(|push| push.rule == rule);
            if let Some(push) = known {
                push.publisher = publisher;
            } else {
                stream.pushes.push(Push {
                    rule,
                    name: name.clone(),
                    publisher,
                    line: Line::new(self.now),
                    is_publishing: false,
                    accepted_at: None,
                    former: None,
                    moves_since: None,
                    moves: 0,
                });
            }
        }
        self.check_pushes(index);
    }

    /// Calls the targets whose time has come.
    pub(super) fn check_pushes(&mut self, index: StreamId) {
        let now = self.now;
        for at in 0..self.streams[index].pushes.len() {
            let stream = &self.streams[index];
            // While the publisher is away there is nothing to hand on.
            let Source::Publisher(_) = stream.source() else {
                return;
            };
            let push = &stream.pushes[at];
            match push.line.state {
                State::Waiting(until) if until > now => self.look_at_stream(index, until),
                State::Waiting(_) => self.call_target(index, at),
                State::Calling(_) => self.check_call(index, Task::Push(push.rule)),
                State::Idle | State::Up(_) => {}
            }
        }
    }

    /// Calls the target of the push at `at`, or waits until its server may be connected to again.
    fn call_target(&mut self, index: StreamId, at: usize) {
        let uptime = self.uptime();
        let push = &mut self.streams[index].pushes[at];
        let rule = push.rule;
        let server = &self.shared.config.push[rule.index()].servers[0];
        match self.shared.fetches.dial_target(&server.authority, uptime) {
            Ok(()) => self.call(index, Task::Push(rule)),
            Err(wait) => {
                let until = self.now + wait;
                push.line.state = State::Waiting(until);
                self.look_at_stream(index, until);
            }
        }
    }

    /// What a target says.
    pub(super) fn push_answered(
        &mut self,
        key: ConnId,
        index: StreamId,
        rule: PushRuleId,
        answer: Answer,
    ) -> Flow {
        let (is_error, status, why, redirect) = match answer {
            Answer::Other | Answer::Ended => return Flow::Continue,
            Answer::Refused { why, redirect, .. } => (true, None, why, redirect),
            Answer::Status {
                is_error,
                status,
                code,
                description,
                redirect,
            } => {
                let why = format!("{code} {description}");
                (is_error, status, why, redirect)
            }
        };
        let is_over = matches!(
            status,
            Some(Status::UnpublishSuccess | Status::ConnectClosed)
        );
        let former = self.push(index, rule).and_then(|push| push.former);
        match (status, redirect) {
            // What it says no longer matters: another connection takes its place.
            _ if former == Some(key) && !is_error && !is_over => Flow::Continue,
            _ if former == Some(key) => Flow::Close(CloseReason::Released),
            (Some(Status::PublishStart), _) => {
                self.push_accepted(key, index, rule);
                Flow::Continue
            }
            (Some(Status::ReconnectRequest), to) => {
                self.push_is_to_move(key, index, rule, to.as_deref())
            }
            (Some(Status::PublishBadName), None) if let Some(former) = former => {
                self.push_in_place_of(key, former, index, rule)
            }
            (_, Some(to)) if is_error => self.push_redirected(key, index, rule, &to),
            _ if is_error => self.push_refused(index, rule, &why),
            _ if is_over => Flow::Close(refused(&why)),
            _ => Flow::Continue,
        }
    }

    /// The target refuses the stream, and has not just asked to go elsewhere.
    fn push_refused(&mut self, index: StreamId, rule: PushRuleId, why: &str) -> Flow {
        let now = self.now;
        let moves = self.push(index, rule).and_then(|push| push.moves_since);
        if moves.is_none_or(|since| now.saturating_duration_since(since) > limits::PUSH_MOVE_TIME) {
            self.gauges.push_refusals += 1;
            self.targets[rule].refusals += 1;
            if self.shared.config.push_strict.is_on() {
                self.close_publisher(index);
            }
        }
        Flow::Close(refused(why))
    }

    /// The target refuses the stream and says where to publish it instead.
    fn push_redirected(
        &mut self,
        key: ConnId,
        index: StreamId,
        rule: PushRuleId,
        to: &str,
    ) -> Flow {
        let for_stream = self.is_asked(key);
        match self.follow_redirect(key, to, for_stream) {
            Flow::Close(CloseReason::Refused(why)) => self.push_refused(index, rule, &why),
            flow => {
                if let Some(push) = self.push(index, rule) {
                    push.is_publishing = push.former.is_some();
                }
                flow
            }
        }
    }

    /// The target asks for a new connection, E-RTMP v2 "Reconnect Request": to the server at `to`
    /// beside the present connection, which goes when that takes the stream; or to itself at once.
    fn push_is_to_move(
        &mut self,
        key: ConnId,
        index: StreamId,
        rule: PushRuleId,
        to: Option<&str>,
    ) -> Flow {
        let now = self.now;
        let Some(push) = self.push(index, rule) else {
            return Flow::Continue;
        };
        push.moves_since = Some(now);
        if push.has_lasted(now) {
            push.moves = 0;
        }
        if push.moves >= limits::REDIRECTS_MAX {
            return Flow::Continue;
        }
        push.moves += 1;
        let is_publishing = push.is_publishing;
        let task = Task::Push(rule);
        // An empty reference leads to where the connection is.
        let Some(from) = self.target_of(index, task) else {
            return Flow::Continue;
        };
        let to_url = to.unwrap_or_default();
        let target = match self.redirected((index, task), &from, to_url, false) {
            Ok(target) => target,
            // It is served for as long as it is there.
            Err(_) if is_publishing => return Flow::Continue,
            Err(error) => return Flow::Close(refused(error.words())),
        };
        if self.notes.allow("push_moves", Level::Info, now) {
            info!(
                "conn={} push moves stream={} to={}",
                self.conns[key].id,
                quoted(&self.streams[index].name),
                quoted(&target.authority)
            );
        }
        let is_beside = is_publishing && to.is_some();
        if let Some(push) = self.push(index, rule) {
            push.line.redirect = Some(Box::new(target));
            push.is_publishing = is_beside;
            push.former = is_beside.then_some(key);
        }
        if is_beside {
            self.call(index, task);
            return Flow::Continue;
        }
        self.end_push_conn(key);
        self.call(index, task);
        Flow::Close(CloseReason::Released)
    }

    /// The server that the target has sent us to does not take a name that is published: the
    /// connection `former` goes first, and then it is asked once more.
    fn push_in_place_of(
        &mut self,
        key: ConnId,
        former: ConnId,
        index: StreamId,
        rule: PushRuleId,
    ) -> Flow {
        if let Some(push) = self.push(index, rule) {
            push.former = None;
            push.is_publishing = false;
        }
        self.end_push_conn(former);
        self.close(former, &CloseReason::Released);
        self.end_push_conn(key);
        self.call(index, Task::Push(rule));
        Flow::Close(CloseReason::Released)
    }

    /// The connection `key` to a target publishes there no longer, and is nobody's.
    fn end_push_conn(&mut self, key: ConnId) {
        let conn = &mut self.conns[key];
        conn.take_errand();
        if let Some(client) = conn.session.client() {
            client.stop();
        }
    }

    /// A connection that was to be left for another one has ended before that.
    pub(super) fn forget_former(&mut self, key: ConnId, index: StreamId, rule: PushRuleId) {
        if let Some(push) = self.push(index, rule)
            && push.former == Some(key)
        {
            push.former = None;
            push.is_publishing = false;
        }
    }

    fn push(&mut self, index: StreamId, rule: PushRuleId) -> Option<&mut Push> {
        let stream = self.streams.get_mut(index)?;
        stream.pushes.iter_mut().find(|push| push.rule == rule)
    }

    /// With `--push-strict` a publisher stands or falls with its targets.
    fn close_publisher(&mut self, index: StreamId) {
        let why = "a server that the stream is handed on to refuses it";
        let reason = CloseReason::Rejected(why);
        self.end_publication(index, Status::PublishDenied, why, &reason);
    }

    /// The target takes the stream: it becomes a player.
    fn push_accepted(&mut self, key: ConnId, index: StreamId, rule: PushRuleId) {
        let now = self.now;
        let conn = &mut self.conns[key];
        let Some(msid) = conn.session.client().and_then(|client| client.msid()) else {
            return;
        };
        if !self.streams.plays(key).is_empty() {
            return;
        }
        let Some(push) = self.push(index, rule) else {
            return;
        };
        push.is_publishing = true;
        push.accepted_at = Some(now);
        push.line.redirects = 0;
        if let Some(former) = push.former.take() {
            self.end_push_conn(former);
            self.close(former, &CloseReason::Released);
        }
        let conn = &mut self.conns[key];
        let stream = &mut self.streams[index];
        let server = &self.shared.config.push[rule.index()].servers[0];
        if self.notes.allow("push", Level::Info, now) {
            info!(
                "conn={} push stream={} to={} peer={}",
                conn.id,
                quoted(&stream.name),
                server.authority,
                conn.peer
            );
        }
        stream.log.flush();
        let start = self.shared.config.start_at();
        let cursor = Cursor::new(&stream.log, start);
        let mut player = Player::new(key, msid, false, cursor);
        player.started = true;
        player.form = Form::Publish;
        conn.has_played = true;
        self.streams.add_player(index, player, false, None);
        self.arm(key, now + self.shared.config.send_timeout);
        self.wake(key);
    }

    /// The line to a target is lost, or never came about: it is called again later.
    pub(super) fn push_failed(&mut self, index: StreamId, rule: PushRuleId, why: &str) {
        self.gauges.push_failures += 1;
        self.targets[rule].failures += 1;
        let dice = self.next_seed(u64::from(index.slot()));
        let now = self.now;
        let stream = &mut self.streams[index];
        let pushes = &mut stream.pushes;
        let Some(push) = pushes.iter_mut().find(|push| push.rule == rule) else {
            return;
        };
        if push.has_lasted(now) {
            push.line.failures = 1;
        }
        push.accepted_at = None;
        if let Some(former) = push.former.take() {
            // It was sent to where it cannot go, and stays.
            push.line.state = State::Up(former);
            push.accepted_at = Some(now);
            return;
        }
        push.is_publishing = false;
        let until: Instant = now + backoff::delay(push.line.failures, dice);
        push.line.state = State::Waiting(until);
        let server = &self.shared.config.push[rule.index()].servers[0];
        if self.notes.allow("push_failed", Level::Warn, now) {
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
            target.pushes = 0;
        }
        for push in streams.iter().flat_map(|(_, stream)| &stream.pushes) {
            targets[push.rule].pushes += u64::from(push.is_publishing);
            if let Some(conn) = push.line.conn().and_then(|key| conns.get_mut(key)) {
                conn.count_sent(targets);
            }
        }
        targets.iter().map(|target| target.pushes).sum()
    }

    /// The stream ends: targets that take it are told with its other players, the rest is given
    /// up.
    pub(super) fn forget_pushes(&mut self, index: StreamId) {
        for push in std::mem::take(&mut self.streams[index].pushes) {
            // Its play ends with those of the stream.
            let former = push.former.and_then(|key| self.conns.get_mut(key));
            if let Some(conn) = former {
                conn.take_errand();
            }
            let key = push.line.conn();
            let plays = key.is_some_and(|key| !self.streams.plays(key).is_empty());
            let conn = key.and_then(|key| self.conns.get_mut(key));
            let is_its = |conn: &&mut super::conn::Conn<S>| {
                plays && conn.errand().is_some_and(|its| its.stream == index)
            };
            match conn.filter(is_its) {
                Some(conn) => drop(conn.take_errand()),
                None => self.hang_up(index, push.line.state),
            }
        }
    }
}

fn refused(why: &str) -> CloseReason {
    let why: String = why.trim().chars().take(200).collect();
    CloseReason::Refused(why.into())
}
