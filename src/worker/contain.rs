//! A panic while one connection is served ends that connection and nothing else.
//!
//! Each step of one connection runs inside [`Core::contained`], and what is done for a stream as
//! a whole inside [`Core::contained_stream`]. A panic there ends the connection, or the stream and
//! its publisher, in the way that they end otherwise. Who publishes and plays what always agrees
//! (`table/links.rs`), so only what was to follow can be missing, and [`Core::catch_up`] does it.
//! A panic anywhere else, here included, ends the process: then it is not known what is left to
//! serve with.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::error;

use super::close_reason::CloseReason;
use super::core::Core;
use super::fault::{self, StepOf};
use super::ids::{ConnId, StreamId};
use super::line::{State, Task};
use super::mail::Mail;
use super::registry::Owner;
use super::table::{Feed, Player, Source, Stream};
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::stream::cursor::StartAt;
use crate::stream::flv::FlvLogs;
use crate::stream::intake::Intake;
use crate::stream::log::StreamLog;

/// What was being done for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It was read from: what it publishes may be half-way into a log.
    Ingress,
    /// Anything else.
    Other,
}

impl<S: Transport> Core<S> {
    /// Does `work` for connection `key`, which ends if that panics.
    pub(super) fn contained(&mut self, key: ConnId, step: Step, work: impl FnOnce(&mut Self)) {
        if let Err(panic) = self.caught(StepOf::Conn, work) {
            let published = match step {
                Step::Ingress => self
                    .streams
                    .publications(key)
                    .iter()
                    .map(|its| its.stream)
                    .collect(),
                Step::Other => Vec::new(),
            };
            self.recover(Some(key), published, &*panic);
        }
    }

    /// Does `work` for the stream `index` as a whole; if that panics, the stream and its publisher
    /// end.
    pub(super) fn contained_stream(&mut self, index: StreamId, work: impl FnOnce(&mut Self)) {
        if let Err(panic) = self.caught(StepOf::Stream, work) {
            let publisher = self.streams.get(index).and_then(Stream::publisher);
            self.recover(publisher, vec![index], &*panic);
        }
    }

    /// Does `work` for the call `id` to another server; if that panics, the call has failed.
    pub(super) fn contained_call(&mut self, id: u64, work: impl FnOnce(&mut Self)) {
        let Some((index, task)) = self.calls.purpose(id) else {
            return;
        };
        if let Err(panic) = self.caught(StepOf::Call, work) {
            self.recover_call(index, task, &*panic);
        }
    }

    fn caught(&mut self, of: StepOf, work: impl FnOnce(&mut Self)) -> std::thread::Result<()> {
        catch_unwind(AssertUnwindSafe(|| {
            work(self);
            fault::end_step(of);
        }))
    }

    #[cold]
    fn recover_call(&mut self, index: StreamId, task: Task, panic: &(dyn Any + Send)) {
        let key = self.line(index, task).and_then(|line| line.conn());
        self.recover(key, Vec::new(), panic);
        let state = self.line(index, task).map(|line| line.state());
        if let Some(State::Calling(id)) = state
            && self.calls.purpose(id).is_none()
        {
            self.line_failed(index, task, "a defect of the relay");
        }
    }

    /// Ends a connection, and streams whose logs may be half-changed.
    #[cold]
    fn recover(&mut self, key: Option<ConnId>, broken: Vec<StreamId>, panic: &(dyn Any + Send)) {
        self.gauges.bugs += 1;
        let reason = CloseReason::Bug(words(panic).into());
        for index in broken {
            self.break_stream(index);
        }
        let key = key.filter(|key| self.conns.contains(*key));
        let is_open = |key: &ConnId| !self.conns[*key].is_closing();
        match key.filter(is_open) {
            Some(key) => self.close(key, &reason),
            None => error!("panic why={}", quoted(&reason)),
        }
        self.catch_up(&reason);
        if let Some(key) = key {
            // Its socket may be what panics.
            self.remove(key);
        }
    }

    /// Does what was to follow from what has been done when a panic came.
    fn catch_up(&mut self, reason: &CloseReason) {
        for key in self.conns.keys() {
            let Some(conn) = self.conns.get(key) else {
                continue;
            };
            let owes = conn.has_pending();
            if let Some(until) = conn.closing() {
                let released = self.end_uses(key, reason);
                self.arm(key, until);
                self.wake(key);
                if let Some(key) = released {
                    self.close(key, &CloseReason::Released);
                }
            } else if owes {
                self.wake(key);
            }
        }
        for index in self.streams.keys() {
            self.catch_up_stream(index);
        }
        self.close_unused_calls();
        let Self {
            lingering, streams, ..
        } = self;
        lingering.retain(&self.shared.admission, |index, since| {
            let pull = streams.get(index).and_then(|its| its.pull.as_ref());
            pull.is_some_and(|pull| pull.idle_since() == Some(since))
        });
        self.shared.registry.reconcile(self.worker, |name| {
            let stream = streams.find(name).map(|index| &streams[index]);
            stream.map_or((false, false), |stream| {
                (stream.is_owned(), !stream.players.is_empty())
            })
        });
        for index in self.streams.keys() {
            self.recount_vias(index);
        }
    }

    fn catch_up_stream(&mut self, index: StreamId) {
        let Some(stream) = self.streams.get(index) else {
            return;
        };
        if !stream.log.is_sound() || !stream.flv.iter().all(StreamLog::is_sound) {
            self.break_stream(index);
        } else if stream.source() == Source::Nobody && stream.players.iter().any(Player::is_started)
        {
            self.end_players(index);
        }
        let Some(stream) = self.streams.get(index) else {
            return;
        };
        if stream.players.is_empty() && !stream.is_owned() {
            self.last_player_left(index);
        } else if stream.is_owned() {
            self.look_at_stream(index, self.now);
        }
    }

    /// Closes connections to other servers that nothing here has use for.
    fn close_unused_calls(&mut self) {
        for key in self.conns.keys() {
            let errand = self.conns.get(key).and_then(|conn| conn.errand());
            let Some(errand) = errand else {
                continue;
            };
            let index = errand.stream();
            let line = self.line(index, errand.task());
            let is_line = line.is_some_and(|line| line.is_up(key));
            let stream = self.streams.get(index);
            let mut pushes = stream.into_iter().flat_map(|stream| &stream.pushes);
            let is_former = pushes.any(|push| push.former() == Some(key));
            if !is_line && !is_former && !self.is_held(key, index) {
                self.conns[key].take_errand();
                self.close(key, &CloseReason::Released);
            }
        }
    }

    /// Ends a stream whose log cannot be trusted: its players are told and closed, here and on
    /// other workers, and whoever comes next finds an empty log.
    fn break_stream(&mut self, index: StreamId) {
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        // The blocks of the old one are not used again.
        stream.log = StreamLog::new(self.settings.log_limits());
        stream.flv = FlvLogs::default();
        stream.intake = Intake::default();
        // Who had fallen behind is to have the end of the stream, and no start of the new log.
        stream.feeds.iter_mut().for_each(Feed::await_end);
        for player in stream.players.iter_mut() {
            player.place(&stream.log, StartAt::NewestSync);
        }
        let is_fetched = stream.pull.is_some();
        match stream.source() {
            Source::Publisher(_) | Source::Away { .. } | Source::Pulling => self.cut_stream(index),
            Source::Nobody => self.end_players(index),
            Source::Fed { worker } => {
                // Its players are gone then; those that wait are fed anew.
                let (name, epoch) = (stream.name.clone(), stream.epoch);
                let from = self.worker;
                self.streams.set_source(index, Source::Nobody);
                self.end_players(index);
                if self.streams.contains(index) {
                    let mail = Mail::Unsubscribe { name, epoch, from };
                    self.outbox.send(worker, mail);
                    self.subscribe(index, Owner { worker, epoch });
                }
            }
        }
        // Who waits for a pull waits for its end.
        if is_fetched && self.streams.contains(index) {
            self.refuse_all_waiting(index);
        }
    }
}

/// What a panic says, cut short.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no words");
    text.chars().take(limits::PANIC_CHARS).collect()
}
