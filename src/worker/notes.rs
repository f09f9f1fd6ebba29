//! Lines of the log that strangers can cause: so many a second for each reason, and then a
//! count of those that were left out.
//!
//! Each worker has its share of what the process may write, so that none has to ask another.

use std::time::{Duration, Instant};

use log::{Level, log_enabled, warn};

use crate::limits;

/// See the module text.
#[derive(Debug)]
pub(super) struct Notes {
    /// Lines a second for each reason on this worker.
    share: u32,
    /// The second that is being counted.
    since: Instant,
    reasons: Vec<Reason>,
    /// What was warned of, and until when that is enough.
    warned: Vec<(&'static str, Instant)>,
}

#[derive(Debug)]
struct Reason {
    name: &'static str,
    /// Lines in this second.
    lines: u32,
    /// Lines left out since that was last told.
    left_out: u64,
}

impl Notes {
    /// For one of `workers` workers.
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        Self {
            share: (limits::LOG_LINES / workers).max(1),
            since: now,
            reasons: Vec::new(),
            warned: Vec::new(),
        }
    }

    /// Whether a line at `level` about `reason` is to be written now. Who asks for debug lines
    /// gets everything.
    pub(super) fn allow(&mut self, reason: &'static str, level: Level, now: Instant) -> bool {
        if !log_enabled!(level) {
            return false;
        }
        log_enabled!(Level::Debug) || self.count(reason, now)
    }

    /// Whether a warning about `reason` is to be written now: at most one each
    /// [`limits::WARN_EVERY`].
    pub(super) fn allow_rarely(&mut self, reason: &'static str, now: Instant) -> bool {
        self.warned.retain(|(_, until)| *until > now);
        let is_allowed = self.warned.iter().all(|(name, _)| *name != reason);
        if is_allowed {
            self.warned.push((reason, now + limits::WARN_EVERY));
        }
        is_allowed
    }

    fn count(&mut self, name: &'static str, now: Instant) -> bool {
        self.begin_second(now);
        let index = self.reasons.iter().position(|reason| reason.name == name);
        let index = index.unwrap_or_else(|| {
            self.reasons.push(Reason {
                name,
                lines: 0,
                left_out: 0,
            });
            self.reasons.len() - 1
        });
        let reason = &mut self.reasons[index];
        let is_allowed = reason.lines < self.share;
        if is_allowed {
            reason.lines += 1;
        } else {
            reason.left_out += 1;
        }
        is_allowed
    }

    fn begin_second(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.reasons.iter_mut().for_each(|reason| reason.lines = 0);
        }
    }

    /// Says what was left out since the last call; how many lines that were. To be called once
    /// a second.
    pub(super) fn tell(&mut self) -> u64 {
        let mut sum = 0;
        for reason in &mut self.reasons {
            let count = std::mem::take(&mut reason.left_out);
            if count > 0 {
                warn!("suppressed {count} lines reason={}", reason.name);
                sum += count;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn each_reason_has_its_lines_and_the_rest_is_counted() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut notes = Notes::new(1, start);
        let written = |notes: &mut Notes, name, ms| {
            let lines = (0..25).filter(|_| notes.count(name, at(ms)));
            lines.count()
        };
        assert_eq!(written(&mut notes, "amf", 0), 10);
        assert_eq!(written(&mut notes, "name", 1), 10);
        assert_eq!(written(&mut notes, "amf", 999), 0);
        assert_eq!(written(&mut notes, "amf", 1_000), 10);
        assert_eq!(notes.tell(), 15 + 15 + 25 + 15);
        assert_eq!(notes.tell(), 0);
        // Many workers share what the process may write, and none is silenced.
        let mut notes = Notes::new(4, start);
        assert_eq!(written(&mut notes, "amf", 0), 2);
        let mut notes = Notes::new(64, start);
        assert_eq!(written(&mut notes, "amf", 0), 1);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn a_warning_comes_once_in_ten_seconds() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut notes = Notes::new(1, start);
        let mut allows = |name, ms| notes.allow_rarely(name, at(ms));
        assert!(allows("accept_pause", 0));
        assert!(allows("refused", 5_000));
        assert!(!allows("accept_pause", 9_999));
        assert!(allows("accept_pause", 10_000));
        assert!(!allows("refused", 14_999));
        assert!(!allows("accept_pause", 19_999));
    }
}
