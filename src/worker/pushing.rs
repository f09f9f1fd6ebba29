//! Streams are pushed to their targets while they are published.

use std::net::IpAddr;

use super::core::Core;
use super::ids::{PushRuleId, StreamId};
use super::line::{State, Task};
use super::push::Push;
use super::table::Source;
use crate::net::transport::Transport;
use crate::rtmp::name::StreamName;

impl<S: Transport> Core<S> {
    /// A stream is published here: it is handed on to every target there is for it.
    pub(super) fn begin_pushes(&mut self, index: StreamId, name: &StreamName, publisher: IpAddr) {
        let publisher = self.shared.admission.key_of(publisher);
        for rule in (0..self.shared.config.push.len()).map(PushRuleId::new) {
            if !self.shared.config.push[rule.index()].is_for(name.judged_app()) {
                continue;
            }
            let stream = &mut self.streams[index];
            if let Some(push) = stream.push_mut(rule) {
                push.set_publisher(publisher);
            } else {
                let push = Push::new((rule, name.clone()), publisher, self.now);
                stream.pushes.push(push);
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
            match push.line().state() {
                State::Waiting(until) if until > now => self.look_at_stream(index, until),
                State::Waiting(_) => self.call_target(index, at),
                State::Calling(_) => self.check_call(index, Task::Push(push.rule())),
                State::Idle | State::Up(_) => {}
            }
        }
    }

    /// Calls the target of the push at `at`, or waits until its server may be connected to again.
    fn call_target(&mut self, index: StreamId, at: usize) {
        let uptime = self.uptime();
        let push = &mut self.streams[index].pushes[at];
        let rule = push.rule();
        let server = &self.shared.config.push[rule.index()].servers[0];
        match self.shared.fetches.dial_target(&server.authority, uptime) {
            Ok(()) => self.call(index, Task::Push(rule)),
            Err(wait) => {
                let until = self.now + wait;
                push.line_mut().wait(until);
                self.look_at_stream(index, until);
            }
        }
    }
}
