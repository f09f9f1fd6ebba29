//! What other servers answer, and what origins say of a stream that is fetched.

use super::close_reason::CloseReason;
use super::core::Core;
use super::flow::Flow;
use super::ids::{ConnId, StreamId};
use super::line::Task;
use super::session::Answer;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;

impl<S: Transport> Core<S> {
    /// What the server on connection `key` says.
    pub(super) fn answered(&mut self, key: ConnId, answer: Answer) -> Flow {
        let Some(errand) = self.conns[key].errand() else {
            return Flow::Continue;
        };
        match errand.task() {
            Task::Pull => self.pull_answered(key, errand.stream(), answer),
            Task::Push(rule) => self.push_answered(key, errand.stream(), rule, answer),
        }
    }

    /// What an origin says on connection `key`.
    fn pull_answered(&mut self, key: ConnId, index: StreamId, answer: Answer) -> Flow {
        let (is_held, is_asked) = (self.is_held(key, index), self.is_asked(key));
        match answer {
            Answer::Other => Flow::Continue,
            Answer::Ended => self.publisher_ended(key, index),
            Answer::Refused {
                redirect: Some(to), ..
            } => self.follow_redirect(key, &to, is_asked),
            Answer::Refused { why, is_loop, .. } => {
                // It waits for the stream itself, through this relay: it does not have it.
                if is_loop && let Some(pull) = &mut self.streams[index].pull {
                    pull.count_missing();
                }
                Flow::refused(&why)
            }
            Answer::Status {
                status: Some(Status::ReconnectRequest),
                code,
                redirect,
                ..
            } => {
                match redirect {
                    redirect if is_held => self.reconnect_asked(index, redirect.as_deref()),
                    Some(to) => self.follow_redirect(key, &to, false),
                    // Another one has it as well.
                    None => Flow::refused(&code),
                }
            }
            Answer::Status {
                redirect: Some(to), ..
            } if !is_held => self.follow_redirect(key, &to, is_asked),
            Answer::Status {
                status,
                code,
                description,
                ..
            } => self.pull_status(index, is_held, status, (&code, &description)),
        }
    }

    /// `is_held`: the origin that says so is the one that the stream comes by.
    fn pull_status(
        &mut self,
        index: StreamId,
        is_held: bool,
        status: Option<Status>,
        (code, description): (&str, &str),
    ) -> Flow {
        match status {
            Some(Status::PlayStart) => {
                self.query_accepted(index);
                Flow::Continue
            }
            Some(Status::PlayStreamNotFound | Status::PlayFailed) => {
                let now = self.uptime();
                let name = self.missing_name(index);
                if let Some(pull) = &mut self.streams[index].pull {
                    pull.count_missing();
                    if !pull.line().is_redirected() {
                        let (server, asker) = (pull.server(), pull.askers().current());
                        self.shared.missing.remember(name, server, asker, now);
                    }
                }
                Flow::refused(code)
            }
            Some(Status::PlayUnpublishNotify | Status::PlayComplete) => {
                let now = self.now;
                if let Some(pull) = &mut self.streams[index].pull {
                    pull.note_over(is_held, now);
                }
                Flow::Close(CloseReason::StreamEnded)
            }
            _ if code.starts_with("NetConnection.Connect.") || code.ends_with(".Failed") => {
                Flow::refused(&format!("{code} {description}"))
            }
            _ => Flow::Continue,
        }
    }
}
