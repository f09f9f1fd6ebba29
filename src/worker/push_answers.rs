//! What targets say of a stream that is pushed to them.

use log::{Level, info};

use super::close_reason::CloseReason;
use super::core::Core;
use super::flow::Flow;
use super::ids::{ConnId, PushRuleId, StreamId};
use super::line::Task;
use super::session::{Answer, Form};
use super::table::Player;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::stream::cursor::Cursor;

impl<S: Transport> Core<S> {
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
        let former = self.push(index, rule).and_then(|push| push.former());
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
            _ if is_over => Flow::Close(CloseReason::refused(&why)),
            _ => Flow::Continue,
        }
    }

    /// The target refuses the stream, and has not just asked to go elsewhere.
    fn push_refused(&mut self, index: StreamId, rule: PushRuleId, why: &str) -> Flow {
        let now = self.now;
        let push = self.push(index, rule);
        if push.is_none_or(|push| !push.has_just_moved(now)) {
            self.gauges.push_refusals += 1;
            self.targets[rule].refusals += 1;
            if self.shared.config.push_strict.is_on() {
                self.close_publisher(index);
            }
        }
        Flow::Close(CloseReason::refused(why))
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
                    push.redirected();
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
        if !push.count_move(now) {
            return Flow::Continue;
        }
        let is_publishing = push.is_publishing();
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
            Err(error) => return Flow::Close(CloseReason::refused(error.words())),
        };
        if self.notes.allow("push_moves", Level::Info, now) {
            info!(
                "conn={} push moves stream={} to={}",
                self.conns[key].id(),
                quoted(&self.streams[index].name),
                quoted(&target.authority)
            );
        }
        let is_beside = is_publishing && to.is_some();
        if let Some(push) = self.push(index, rule) {
            push.move_to(target, is_beside.then_some(key));
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
        self.forget_former(former, index, rule);
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
        if let Some(former) = push.accept(now) {
            self.end_push_conn(former);
            self.close(former, &CloseReason::Released);
        }
        let conn = &mut self.conns[key];
        let stream = &mut self.streams[index];
        let server = &self.shared.config.push[rule.index()].servers[0];
        if self.notes.allow("push", Level::Info, now) {
            info!(
                "conn={} push stream={} to={} peer={}",
                conn.id(),
                quoted(&stream.name),
                server.authority,
                conn.peer()
            );
        }
        stream.log.flush();
        let start = self.shared.config.start_at();
        let cursor = Cursor::new(&stream.log, start);
        let mut player = Player::new(key, msid, Form::Publish, cursor);
        player.start();
        self.streams.add_player(index, player, false, None);
        self.arm(key, now + self.shared.config.send_timeout);
        self.wake(key);
    }
}
