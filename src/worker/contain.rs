//! A panic while one connection is served ends that connection and nothing else.
//!
//! Each step of one connection runs inside [`Core::contained`], and what is done for a stream as
//! a whole inside [`Core::contained_stream`], where the one connection is its publisher. What
//! such a step leaves half done is mended here: roles, counts and the registry are made to agree
//! again from what is certain, a stream whose log may be half-changed ends, and what was to be
//! mailed and was not is for audit.rs. A panic anywhere else, here included, still ends the
//! process: then it is not known what is left to serve with.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::error;

use super::conn::{CloseReason, Conn};
use super::core::Core;
use super::ids::{ConnId, PlayerSlot, StreamId};
use super::line::{State, Task};
use super::mail::Mail;
use super::registry::Owner;
use super::table::{Source, Stream};
use super::timers::Timer;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::stream::cursor::{Cursor, StartAt};
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

/// A slot that no player has.
const NOWHERE: PlayerSlot = PlayerSlot::NONE;

impl<S: Transport> Core<S> {
    /// Does `work` for connection `key`, which ends if that panics.
    pub(super) fn contained(&mut self, key: ConnId, step: Step, work: impl FnOnce(&mut Self)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.recover(key, step, &*panic);
        }
    }

    /// Does `work` for the stream `index` as a whole; if that panics, the stream and its publisher
    /// end.
    pub(super) fn contained_stream(&mut self, index: StreamId, work: impl FnOnce(&mut Self)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.recover_stream(index, &*panic);
        }
    }

    /// Does `work` for a line to another server; if that panics, the line is called again later.
    pub(super) fn contained_line(&mut self, work: impl FnOnce(&mut Self)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.recover_line(&*panic);
        }
    }

    #[cold]
    fn recover_line(&mut self, panic: &(dyn Any + Send)) {
        self.faults.disarm();
        self.gauges.bugs += 1;
        error!("panic why={}", quoted(words(panic)));
        self.drop_roles_of_closing();
        let stranded = self.mend_plays();
        self.mend_publications(ConnId::NONE);
        self.mend_lines();
        self.mend_registry();
        self.tell_stranded(&stranded);
    }

    #[cold]
    fn recover_stream(&mut self, index: StreamId, panic: &(dyn Any + Send)) {
        let source = self.streams.get(index).map(|stream| stream.source);
        if let Some(Source::Publisher(key)) = source {
            self.recover(key, Step::Ingress, panic);
            return;
        }
        self.faults.disarm();
        self.gauges.bugs += 1;
        error!("panic why={}", quoted(words(panic)));
        self.drop_roles_of_closing();
        let stranded = self.mend_plays();
        self.mend_publications(ConnId::NONE);
        self.break_stream(index);
        self.break_unsound();
        self.mend_lines();
        self.mend_registry();
        self.tell_stranded(&stranded);
    }

    #[cold]
    fn recover(&mut self, key: ConnId, step: Step, panic: &(dyn Any + Send)) {
        self.faults.disarm();
        self.gauges.bugs += 1;
        let reason = CloseReason::Bug(words(panic).into());
        let published = self.published_by(key);
        self.drop_roles(key);
        self.drop_roles_of_closing();
        let stranded = self.mend_plays();
        self.mend_publications(key);
        for index in published {
            let is_its = self
                .streams
                .get(index)
                .is_some_and(|stream| stream.source == Source::Publisher(key));
            if is_its && step == Step::Other {
                self.publisher_left(index, false);
            } else {
                self.break_stream(index);
            }
        }
        self.break_unsound();
        self.mend_lines();
        self.mend_registry();
        self.tell_stranded(&stranded);
        if self
            .conns
            .get(key)
            .is_some_and(|conn| conn.closing.is_none())
        {
            self.close(key, &reason);
        } else {
            // It was on its way out already.
            error!("panic why={}", quoted(reason));
            self.remove(key);
        }
    }

    /// The streams that connection `key` publishes or was about to publish.
    fn published_by(&self, key: ConnId) -> Vec<StreamId> {
        let by_source = self.streams.iter().filter_map(|(index, stream)| {
            (stream.source == Source::Publisher(key)).then_some(index)
        });
        let mut found: Vec<StreamId> = by_source.collect();
        let conn = self.conns.get(key);
        for publication in conn.into_iter().flat_map(|conn| &conn.publications) {
            if !found.contains(&publication.stream) {
                found.push(publication.stream);
            }
        }
        found
    }

    /// Connection `key` neither plays nor publishes, as far as it knows.
    fn drop_roles(&mut self, key: ConnId) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.plays.clear();
            conn.publications.clear();
            conn.moving = None;
        }
    }

    /// Nor do those that were about to end when the panic came.
    fn drop_roles_of_closing(&mut self) {
        let closing = self.conns.iter().filter(|(_, conn)| conn.closing.is_some());
        for key in closing.map(|(key, _)| key).collect::<Vec<_>>() {
            self.drop_roles(key);
        }
    }

    /// Players are those that their stream and their connection both know of. Connections, with
    /// the message stream of each, that may think that they play and no longer do.
    fn mend_plays(&mut self) -> Vec<(ConnId, u32)> {
        let Self { conns, streams, .. } = self;
        for (_, conn) in conns.iter_mut() {
            conn.plays.iter_mut().for_each(|play| play.slot = NOWHERE);
        }
        self.players = 0;
        let mut stranded = Vec::new();
        for (index, stream) in streams.iter_mut() {
            let mut count = 0;
            stream.players.retain(|player| {
                let conn = conns.get_mut(player.conn);
                let mut plays = conn.into_iter().flat_map(|conn| &mut conn.plays);
                let its = plays.find(|play| play.stream == index && play.msid == player.msid);
                let Some(play) = its.filter(|play| play.slot == NOWHERE) else {
                    stranded.push((player.conn, player.msid));
                    return false;
                };
                play.slot = PlayerSlot::new(count);
                count += 1;
                true
            });
            self.players += count;
        }
        for (_, conn) in conns.iter_mut() {
            conn.plays.retain(|play| play.slot != NOWHERE);
        }
        stranded
    }

    /// Tells those that were about to be told when the panic came, and sends whatever it kept
    /// from being sent.
    fn tell_stranded(&mut self, stranded: &[(ConnId, u32)]) {
        for &(key, msid) in stranded {
            let Some(conn) = self.conns.get_mut(key) else {
                continue;
            };
            if conn.closing.is_some() || conn.plays.iter().any(|play| play.msid == msid) {
                continue;
            }
            conn.session.end_play(msid, "the stream is over");
            conn.idle_since = self.now;
            if conn.plays.is_empty() && conn.publications.is_empty() {
                self.close(key, &CloseReason::StreamEnded);
            }
        }
        let owed = |conn: &Conn<S>| conn.has_pending() || conn.closing.is_some();
        let owed = self.conns.iter().filter(|(_, conn)| owed(conn));
        let owed: Vec<_> = owed.map(|(key, conn)| (key, conn.closing)).collect();
        for (key, closing) in owed {
            if let Some(until) = closing {
                self.arm(key, until);
            }
            self.wake(key);
        }
    }

    /// Publishers are those that their stream and their connection both know of; a stream that
    /// has lost its publisher waits for it to come back. Those of `culprit` are for the caller.
    fn mend_publications(&mut self, culprit: ConnId) {
        let Self { conns, streams, .. } = self;
        for (key, conn) in conns.iter_mut() {
            conn.publications.retain(|publication| {
                let stream = streams.get(publication.stream);
                stream.is_some_and(|stream| {
                    let held = stream.pull.as_ref().and_then(|pull| pull.held.as_ref());
                    stream.source == Source::Publisher(key)
                        || held.is_some_and(|held| held.key == key)
                })
            });
        }
        self.publishers = 0;
        let mut lost = Vec::new();
        for (index, stream) in streams.iter_mut() {
            match stream.source {
                Source::Publisher(key) => {
                    self.publishers += 1;
                    let mut publications = conns.get(key).into_iter().flat_map(|c| &c.publications);
                    if key != culprit && publications.all(|p| p.stream != index) {
                        lost.push(index);
                    }
                }
                Source::Away { until, .. } => {
                    let timer = Timer::Stream(index);
                    self.timers.arm(&mut stream.armed, until, timer);
                }
                Source::Nobody | Source::Fed { .. } | Source::Pulling => {}
            }
        }
        for index in lost {
            self.publisher_left(index, false);
        }
    }

    /// Lines are those that their stream and their connection, or who is asked, both know of. One
    /// that is lost is called again later, and all are looked at in the next turn: it may be a
    /// timer that is missing.
    fn mend_lines(&mut self) {
        let with_lines = |(index, stream): (StreamId, &Stream)| {
            let has_lines = stream.pull.is_some() || !stream.pushes.is_empty();
            has_lines.then_some((index, stream.source))
        };
        let streams: Vec<_> = self.streams.iter().filter_map(with_lines).collect();
        for (index, source) in streams {
            if let Source::Nobody | Source::Fed { .. } = source {
                // It was about to end.
                self.forget_pull(index);
                self.forget_pushes(index);
                continue;
            }
            let stream = &self.streams[index];
            let pushes = stream.pushes.iter().map(|push| Task::Push(push.rule));
            let pull = stream.pull.iter().map(|_| Task::Pull);
            for task in pull.chain(pushes).collect::<Vec<_>>() {
                self.mend_line(index, task);
            }
            self.mend_held(index);
            self.look_at_stream(index, self.now);
        }
        self.mend_lingering();
        let called: Vec<_> = self.called.iter().map(|(id, call)| (*id, *call)).collect();
        for (id, (index, task)) in called {
            if self.line(index, task).map(|line| line.state) != Some(State::Calling(id)) {
                self.called.remove(&id);
            }
        }
        let errands = self.conns.iter();
        let errands = errands.filter_map(|(key, conn)| conn.errand().map(|errand| (key, errand)));
        for (key, errand) in errands.collect::<Vec<_>>() {
            let line = self.line(errand.stream, errand.task);
            let is_line = line.is_some_and(|line| line.state == State::Up(key));
            if !is_line && !self.is_held(key, errand.stream) {
                self.conns[key].take_errand();
                self.close(key, &CloseReason::Released);
            }
        }
    }

    fn mend_line(&mut self, index: StreamId, task: Task) {
        let Some(state) = self.line(index, task).map(|line| line.state) else {
            return;
        };
        let (mut is_kept, mut has_player) = (true, false);
        match state {
            State::Idle | State::Waiting(_) => {}
            State::Calling(id) => is_kept = self.called.get(&id) == Some(&(index, task)),
            State::Up(key) => {
                let conn = self.conns.get(key).filter(|conn| conn.closing.is_none());
                is_kept = conn.is_some_and(|conn| {
                    let errand = conn.errand().map(|errand| (errand.stream, errand.task));
                    has_player = conn.plays.iter().any(|play| play.stream == index);
                    errand == Some((index, task))
                });
            }
        }
        let until = self.now + limits::RETRY_FIRST;
        if let (false, Some(line)) = (is_kept, self.line(index, task)) {
            line.state = State::Waiting(until);
        }
        let stream = &mut self.streams[index];
        match task {
            Task::Pull => {}
            Task::Push(rule) => {
                let mut its = stream.pushes.iter_mut().filter(|push| push.rule == rule);
                if let Some(push) = its.next() {
                    push.is_publishing &= has_player;
                    // One that was to be left is, with those that are nobody's.
                    push.former = None;
                }
            }
        }
    }

    /// The connection that a stream is fetched by is one that both know of; without media by it the
    /// search goes on.
    fn mend_held(&mut self, index: StreamId) {
        let (now, until) = (self.now, self.now + limits::RETRY_FIRST);
        let Self { streams, conns, .. } = self;
        let stream = &mut streams[index];
        let Some(pull) = &mut stream.pull else {
            return;
        };
        let conn = |key| {
            conns
                .get(key)
                .filter(|conn: &&Conn<S>| conn.closing.is_none())
        };
        let errand = |key| conn(key).and_then(|conn| conn.errand());
        let is_its =
            |key| errand(key).is_some_and(|its| (its.stream, its.task) == (index, Task::Pull));
        if pull.held.as_ref().is_some_and(|held| !is_its(held.key)) {
            pull.held = None;
        }
        let held = pull.held.as_ref().map(|held| held.key);
        if held.is_some() && pull.line.conn() == held {
            pull.line.rest();
        }
        if held.is_none_or(|key| stream.source != Source::Publisher(key)) {
            pull.dark_since.get_or_insert(now);
        }
        if pull.needs_search() && pull.line.state == State::Idle {
            pull.line.state = State::Waiting(until);
        }
    }

    /// Ends every stream whose log is half-changed.
    fn break_unsound(&mut self) {
        for index in self.streams.keys() {
            let is_sound = |stream: &Stream| {
                stream.log.is_sound() && stream.flv.iter().all(StreamLog::is_sound)
            };
            if self
                .streams
                .get(index)
                .is_some_and(|stream| !is_sound(stream))
            {
                self.break_stream(index);
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
        stream.log = StreamLog::new(self.log_limits);
        stream.flv = FlvLogs::default();
        stream.intake = Intake::default();
        // Who had fallen behind is to have the end of the stream, and no start of the new log.
        stream.feeds.iter_mut().for_each(|feed| feed.lost = false);
        for player in &mut stream.players {
            player.cursor = Cursor::new(&stream.log, StartAt::NewestSync);
        }
        let is_fetched = stream.pull.is_some();
        match stream.source {
            Source::Publisher(key) => {
                if let Some(conn) = self.conns.get_mut(key) {
                    conn.publications.retain(|p| p.stream != index);
                }
                self.end_stream(index);
            }
            Source::Away { .. } | Source::Pulling => self.end_stream(index),
            Source::Nobody => self.end_players(index),
            Source::Fed { worker } => {
                // Its players are gone then; those that wait are fed anew.
                let (name, epoch) = (stream.name.clone(), stream.epoch);
                let from = self.worker;
                stream.source = Source::Nobody;
                self.end_players(index);
                if self.streams.contains(index) {
                    let mail = Mail::Unsubscribe { name, epoch, from };
                    self.outbound.push((worker, mail));
                    self.subscribe(index, Owner { worker, epoch });
                }
            }
        }
        // Who waits for a pull waits for its end.
        if is_fetched && self.streams.contains(index) {
            self.refuse_all_waiting(index);
        }
    }

    /// The registry knows of this worker what is true.
    fn mend_registry(&mut self) {
        let idle = self.streams.iter().filter_map(|(index, stream)| {
            (stream.players.is_empty() && !stream.is_owned()).then_some(index)
        });
        for index in idle.collect::<Vec<_>>() {
            self.last_player_left(index);
        }
        let Self {
            streams, by_name, ..
        } = self;
        by_name.retain(|name, index| streams.get(*index).is_some_and(|s| s.name == *name));
        self.shared.registry.reconcile(self.worker, |name| {
            let stream = by_name.get(name).map(|&index| &streams[index]);
            stream.map_or((false, false), |stream| {
                (stream.is_owned(), !stream.players.is_empty())
            })
        });
        for index in self.by_name.values().copied().collect::<Vec<_>>() {
            self.recount_vias(index);
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
