//! Connections to other servers are asked for: their addresses, redirects, failures.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use log::{Level, warn};

use super::close_reason::CloseReason;
use super::core::Core;
use super::flow::Flow;
use super::ids::{ConnId, OriginId, StreamId};
use super::line::{Callee, Errand, Line, State, Task};
use crate::edge::redirect::{RedirectError, Target};
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Calls the server of a line.
    pub(super) fn call(&mut self, index: StreamId, task: Task) {
        let Some(Target { host, port, .. }) = self.target_of(index, task) else {
            return;
        };
        let now = self.now;
        if let Some(line) = self.line(index, task) {
            line.begin_call(now);
        }
        self.look_at_stream(index, now + self.shared.config.pull_timeout);
        self.place_call(index, task, Callee::Name { host, port });
    }

    /// False when no address is left.
    pub(super) fn call_next_address(&mut self, index: StreamId, task: Task) -> bool {
        let next = self.line(index, task);
        let Some(address) = next.and_then(|line| line.next_address()) else {
            return false;
        };
        let target = self.target_of(index, task);
        let tls = target.and_then(|target| target.tls.then_some(target.host));
        self.place_call(index, task, Callee::Address { address, tls });
        true
    }

    /// Gives up a call whose name is looked up for too long: another server may be there.
    pub(super) fn check_call(&mut self, index: StreamId, task: Task) {
        let limit = self.shared.config.pull_timeout;
        let now = self.now;
        let Some(line) = self.line(index, task) else {
            return;
        };
        let (State::Calling(id), until) = (line.state(), line.called_at() + limit) else {
            return;
        };
        if until > now {
            return self.look_at_stream(index, until);
        }
        self.calls.end(id);
        self.line_failed(index, task, "the name is still being looked up");
    }

    /// The server on connection `key` refuses and redirects to the URL `to`: the line goes there
    /// instead, if that may be followed. See [`redirected`](Self::redirected).
    pub(super) fn follow_redirect(&mut self, key: ConnId, to: &str, for_stream: bool) -> Flow {
        let Some(errand) = self.conns[key].errand() else {
            return Flow::Continue;
        };
        let (stream, task) = (errand.stream(), errand.task());
        let Some(from) = self.target_of(stream, task) else {
            return Flow::Continue;
        };
        match self.redirected((stream, task), &from, to, for_stream) {
            Ok(target) => {
                if let Some(line) = self.line(stream, task) {
                    line.redirect_to(target);
                }
                self.conns[key].take_errand();
                self.call(stream, task);
                Flow::Close(CloseReason::Released)
            }
            Err(error) => Flow::Close(CloseReason::Refused(error.words().into())),
        }
    }

    /// Whether the server on connection `key` was asked for the stream, and not only for a
    /// connection.
    pub(super) fn is_asked(&mut self, key: ConnId) -> bool {
        let client = self.conns[key].session.client();
        client.is_some_and(|client| client.msid().is_some())
    }

    /// The line of a stream for a task, while it has one.
    pub(super) fn line(&mut self, index: StreamId, task: Task) -> Option<&mut Line> {
        let stream = self.streams.get_mut(index)?;
        match task {
            Task::Pull => stream.pull.as_mut().map(|pull| pull.line_mut()),
            Task::Push(rule) => stream.push_mut(rule).map(|push| push.line_mut()),
        }
    }

    /// A connection of ours to another server has ended, and not because we had no more use
    /// for it. Another one that is to be closed with it.
    pub(super) fn line_down(
        &mut self,
        key: ConnId,
        errand: Errand,
        reason: &CloseReason,
    ) -> Option<ConnId> {
        let (stream, task) = (errand.stream(), errand.task());
        if let Task::Push(rule) = task {
            self.forget_former(key, stream, rule);
        }
        if self.is_draining() {
            let state = match task {
                Task::Pull => self.pull_lost_in_drain(stream, key)?,
                Task::Push(_) => return None,
            };
            return self.release(stream, state);
        }
        let why = format!("{}: {reason}", self.conns[key].peer());
        if task == Task::Pull && self.is_held(key, stream) {
            self.pull_lost(stream, &why);
            return None;
        }
        let (now, timeout) = (self.now, self.shared.config.pull_timeout);
        let line = self.line(stream, task)?;
        if !line.is_up(key) {
            return None;
        }
        let has_time = line.called_at() + timeout * 2 > now;
        if self.conns[key].bytes_in() > 0 || !has_time || !self.call_next_address(stream, task) {
            self.line_failed(stream, task, &why);
        }
        None
    }

    pub(super) fn line_failed(&mut self, index: StreamId, task: Task, why: &str) {
        if let Some(line) = self.line(index, task) {
            line.fail();
            match task {
                Task::Pull => self.pull_failed(index, why),
                Task::Push(rule) => self.push_failed(index, rule, why),
            }
        }
    }

    /// Writes down whether the server on connection `key` has come a step further.
    pub(super) fn note_steps(&mut self, key: ConnId) {
        let now = self.now;
        let conn = &mut self.conns[key];
        let steps = conn.session.client().map(|client| client.steps());
        if let (Some(errand), Some(steps)) = (conn.errand_mut(), steps) {
            errand.note_steps(steps, now);
        }
    }

    fn place_call(&mut self, index: StreamId, task: Task, to: Callee) {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        // In this order: what is called without being known is answered to nobody, and what is
        // known without being called is waited for for ever.
        self.calls.begin(id, to, (index, task));
        if let Some(line) = self.line(index, task) {
            line.set_calling(id);
        }
    }

    /// The server at `from`, which a line of the stream goes to, redirects to the URL `to`: where
    /// that leads, if it may be followed. One that may not is logged. `for_stream`: it answers play
    /// or publish.
    pub(super) fn redirected(
        &mut self,
        (index, task): (StreamId, Task),
        from: &Target,
        to: &str,
        for_stream: bool,
    ) -> Result<Target, RedirectError> {
        let redirects = self.line(index, task).map_or(0, |line| line.redirects());
        let config = &self.shared.config;
        let target = from.resolve(to, for_stream);
        let rules = config.pull.iter().chain(&config.push);
        let error = match &target {
            None => RedirectError::Invalid,
            Some(_) if redirects >= limits::REDIRECTS_MAX => RedirectError::TooMany,
            Some(target) if !target.is_allowed(from.tls, rules, &config.redirect_allow) => {
                RedirectError::Denied
            }
            Some(_) => return target.ok_or(RedirectError::Invalid),
        };
        if self.notes.allow("redirect_refused", Level::Warn, self.now) {
            let leads_to = target.map(|target| target.authority).unwrap_or_default();
            warn!(
                "redirect refused stream={} from={} to={} why={}",
                quoted(&self.streams[index].name),
                quoted(&from.authority),
                quoted(leads_to),
                quoted(error.words())
            );
        }
        Err(error)
    }

    /// The same, without the end of the connection: it is to be closed.
    pub(super) fn release(&mut self, index: StreamId, state: State) -> Option<ConnId> {
        let key = match state {
            State::Idle | State::Waiting(_) => return None,
            State::Calling(id) => {
                self.calls.end(id);
                return None;
            }
            State::Up(key) => key,
        };
        // While the relay stops, lines are not told of connections that are gone.
        let conn = self.conns.get_mut(key)?;
        conn.errand().filter(|errand| errand.stream() == index)?;
        conn.take_errand();
        if let Some(client) = conn.session.client() {
            client.stop();
        }
        Some(key)
    }

    pub(super) fn take_addresses(&mut self, id: u64, found: Result<Vec<SocketAddr>, String>) {
        let Some((index, task)) = self.calls.end(id) else {
            return;
        };
        match found {
            Ok(addresses) => {
                if let Some(line) = self.line(index, task) {
                    line.set_addresses(addresses);
                }
                if !self.call_next_address(index, task) {
                    self.line_failed(index, task, "the name has no address");
                }
            }
            Err(why) => self.line_failed(index, task, &why),
        }
    }

    /// The server that a line goes to, and what the stream is called there.
    pub(super) fn target_of(&self, index: StreamId, task: Task) -> Option<Target> {
        let stream = self.streams.get(index)?;
        let config = &self.shared.config;
        let (rule, server, name, line) = match task {
            Task::Pull => {
                let pull = stream.pull.as_ref()?;
                let rule = &config.pull[pull.rule().index()];
                (rule, pull.server(), pull.name(), pull.line())
            }
            Task::Push(rule) => {
                let push = stream.push(rule)?;
                let rule = &config.push[rule.index()];
                (rule, OriginId::new(0), push.name(), push.line())
            }
        };
        match line.redirect() {
            Some(target) => Some(target.clone()),
            None => Some(Target::of(&rule.servers[server.index()], name)),
        }
    }
}
