//! A connection to another server is lost, or sends nothing: what is tried next.

use std::time::{Duration, Instant};

use log::{Level, debug, log, warn};

use super::core::Core;
use super::ids::{ConnId, OriginId, PushRuleId, StreamId};
use super::line::State;
use super::push::Push;
use crate::edge::backoff;
use crate::limits;
use crate::logging::quoted;
use crate::net::transport::Transport;

/// So often are origins asked again, at least, before the stream is given up; fewer if they take
/// their time.
const SEARCHES_BEFORE_GIVE_UP: u32 = 3;

impl<S: Transport> Core<S> {
    /// The origin that is asked is lost, or was never reached: the next one is.
    pub(super) fn pull_failed(&mut self, index: StreamId, why: &str) {
        let now = self.now;
        let Some(pull) = &mut self.streams[index].pull else {
            return;
        };
        let server = pull.lose_asked(now);
        self.note_failure(index, server, Level::Info, why);
        self.look_at_stream(index, now);
    }

    /// The connection that the stream came by is lost: another origin may have it.
    pub(super) fn pull_lost(&mut self, index: StreamId, why: &str) {
        let now = self.now;
        let pause = self.search_pause(index);
        let stream = &mut self.streams[index];
        let last_media = stream.meter.last_media();
        let Some(pull) = &mut stream.pull else {
            return;
        };
        let level = match pull.is_dark() {
            true => Level::Info,
            false => Level::Warn,
        };
        let Some(server) = pull.lose_held(last_media, now, pause) else {
            return;
        };
        self.look_at_stream(index, now);
        self.note_failure(index, server, level, why);
    }

    /// The origin on connection `key` goes while the relay stops: nobody is asked for the stream
    /// any more. How far the search for another one had come, which is to be given up.
    pub(super) fn pull_lost_in_drain(&mut self, index: StreamId, key: ConnId) -> Option<State> {
        let now = self.now;
        let pull = self.streams.get_mut(index)?.pull.as_mut()?;
        let state = pull.lose_in_drain(key, now)?;
        self.look_at_stream(index, now);
        Some(state)
    }

    fn note_failure(&mut self, index: StreamId, server: OriginId, level: Level, why: &str) {
        self.gauges.pull_failures += 1;
        let stream = &self.streams[index];
        let Some(pull) = &stream.pull else {
            return;
        };
        if self.notes.allow("pull_failed", level, self.now) {
            let server = &self.shared.config.pull[pull.rule().index()].servers[server.index()];
            log!(
                level,
                "pull failed stream={} from={} why={}",
                quoted(&stream.name),
                server.authority,
                quoted(why)
            );
        }
    }

    /// Looks for an origin that has the stream, unless that is under way.
    pub(super) fn search(&mut self, index: StreamId) {
        let now = self.now;
        let pause = self.search_pause(index);
        if let Some(pull) = &mut self.streams[index].pull {
            pull.search(now, pause);
            self.look_at_stream(index, now);
        }
    }

    /// How long a search pauses after so many failures.
    pub(super) fn search_pause(&mut self, index: StreamId) -> impl Fn(u32) -> Duration + use<S> {
        let dice = self.next_seed(u64::from(index.slot()));
        let most = self.search_pause_max();
        move |failures| backoff::delay(failures, dice).min(most)
    }

    /// How long a search pauses at most: an origin that is lost and comes back is asked some times
    /// before the stream is given up, however many others have failed meanwhile.
    fn search_pause_max(&self) -> Duration {
        let pause = self.shared.config.pull_give_up / SEARCHES_BEFORE_GIVE_UP;
        pause.max(limits::RETRY_FIRST)
    }

    /// There is no media since `since`: other origins are asked.
    pub(super) fn lose_media(&mut self, index: StreamId, since: Instant) {
        let now = self.now;
        let stream = &mut self.streams[index];
        let Some(pull) = &mut stream.pull else {
            return;
        };
        if !pull.lose_media(since, now) {
            return;
        }
        debug!(
            "stream={} has no media: others are asked",
            quoted(&stream.name)
        );
        self.search(index);
    }

    /// An origin that has sent no media for `--pull-timeout` may have lost it, whatever else it
    /// says: others are asked beside it.
    pub(super) fn check_media(&mut self, index: StreamId) {
        let stream = &self.streams[index];
        let last_media = stream.meter.last_media();
        let Some(pull) = &stream.pull else {
            return;
        };
        let is_late = last_media + self.shared.config.pull_timeout <= self.now;
        if !pull.is_dark() && is_late {
            self.lose_media(index, last_media);
        }
    }

    pub(super) fn push(&mut self, index: StreamId, rule: PushRuleId) -> Option<&mut Push> {
        self.streams.get_mut(index)?.push_mut(rule)
    }

    /// The line to a target is lost, or never came about: it is called again later.
    pub(super) fn push_failed(&mut self, index: StreamId, rule: PushRuleId, why: &str) {
        self.gauges.push_failures += 1;
        self.targets[rule].failures += 1;
        let dice = self.next_seed(u64::from(index.slot()));
        let now = self.now;
        let push = self.push(index, rule);
        let Some(until) = push.and_then(|push| push.fail(now, dice)) else {
            return;
        };
        let server = &self.shared.config.push[rule.index()].servers[0];
        if self.notes.allow("push_failed", Level::Warn, now) {
            warn!(
                "push failed stream={} to={} why={} again_in_ms={}",
                quoted(&self.streams[index].name),
                server.authority,
                quoted(why),
                (until - now).as_millis()
            );
        }
        self.look_at_stream(index, until);
    }

    /// A connection that was to be left for another one has ended before that.
    pub(super) fn forget_former(&mut self, key: ConnId, index: StreamId, rule: PushRuleId) {
        if let Some(push) = self.push(index, rule) {
            push.forget_former(key);
        }
    }

    /// Whether the stream `index` comes, or came last, by connection `key`.
    pub(super) fn is_held(&self, key: ConnId, index: StreamId) -> bool {
        let pull = self.streams.get(index).and_then(|its| its.pull.as_ref());
        pull.is_some_and(|pull| pull.is_held(key))
    }
}
