//! Where a test may have the core panic in the middle of what it does for a connection or a
//! stream, as a defect would. In the relay itself this is nothing at all.
//!
//! A place is named in the code by [`Faults::at`]; what has come before it on the way is done
//! and what comes behind it is not.

/// In the middle of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Midst {
    /// A connection is read; what it has sent is in a log.
    Ingress,
    /// A role begins or ends: a publish, a play.
    Role,
    /// Players are written to.
    Egress,
    /// Other workers are sent what is new.
    Feed,
    /// A deadline is acted on.
    Deadline,
    /// A line to another server is called, answered or lost.
    Line,
}

#[cfg(test)]
impl Midst {
    /// All there are.
    pub(super) const ALL: [Self; 6] = [
        Self::Ingress,
        Self::Role,
        Self::Egress,
        Self::Feed,
        Self::Deadline,
        Self::Line,
    ];
}

/// The panic that is to come, if one is.
#[derive(Debug, Default)]
pub(super) struct Faults {
    #[cfg(test)]
    armed: std::cell::Cell<Option<(Midst, u32)>>,
    /// How many there were.
    #[cfg(test)]
    fired: std::cell::Cell<u64>,
}

impl Faults {
    /// A place in the code: panics if a test wants it to.
    #[cfg(not(test))]
    #[inline(always)]
    pub(super) fn at(&self, _midst: Midst) {}

    /// A place in the code: panics if a test wants it to.
    #[cfg(test)]
    pub(super) fn at(&self, midst: Midst) {
        let Some((wanted, left)) = self.armed.get().filter(|(wanted, _)| *wanted == midst) else {
            return;
        };
        self.armed
            .set(left.checked_sub(1).map(|left| (wanted, left)));
        if left == 0 {
            self.fired.set(self.fired.get() + 1);
            // Without the words on standard error that a panic has of itself.
            std::panic::resume_unwind(Box::new(format!("a simulated panic in {midst:?}")));
        }
    }

    /// After so many places of this kind, the next one panics.
    #[cfg(test)]
    pub(super) fn arm(&self, midst: Midst, after: u32) {
        self.armed.set(Some((midst, after)));
    }

    /// None is to come: a panic is mended, and one in the middle of that ends the process.
    pub(super) fn disarm(&self) {
        #[cfg(test)]
        self.armed.set(None);
    }

    /// How many there were.
    #[cfg(test)]
    pub(super) fn fired(&self) -> u64 {
        self.fired.get()
    }
}
