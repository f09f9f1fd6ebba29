//! What is done every so often.

use std::time::{Duration, Instant};

/// When something is done next that is done every so often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Every {
    period: Duration,
    due: Instant,
}

impl Every {
    /// Something that is done at `due`, and each `period` from then on.
    pub(super) fn new(period: Duration, due: Instant) -> Self {
        Self { period, due }
    }

    /// Whether it is to be done now; it is due again a period later if so.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + self.period;
        }
        is_due
    }

    /// When it is to be done.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// It is to be done now.
    #[cfg(test)]
    pub(super) fn make_due(&mut self, now: Instant) {
        self.due = now;
    }
}
