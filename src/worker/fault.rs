//! Panics that tests want at the end of a step that contain.rs watches, as a defect would cause
//! them. In the relay itself this is nothing at all. In the middle of a step the sockets of a test
//! panic.

/// What a step is done for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepOf {
    /// A connection.
    Conn,
    /// A stream as a whole.
    Stream,
    /// A call to another server.
    Call,
}

/// The end of a step: panics if a test wants it to.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn end_step(_of: StepOf) {}

#[cfg(test)]
pub(super) use tests::*;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::StepOf;

    impl StepOf {
        /// All there are.
        pub(in crate::worker) const ALL: [Self; 3] = [Self::Conn, Self::Stream, Self::Call];
    }

    thread_local! {
        static ARMED: Cell<Option<(StepOf, u32)>> = const { Cell::new(None) };
        static FIRED: Cell<u64> = const { Cell::new(0) };
    }

    /// The end of a step: panics if a test wants it to.
    pub(in crate::worker) fn end_step(of: StepOf) {
        let Some((wanted, left)) = ARMED.get().filter(|(wanted, _)| *wanted == of) else {
            return;
        };
        ARMED.set(left.checked_sub(1).map(|left| (wanted, left)));
        if left == 0 {
            FIRED.set(FIRED.get() + 1);
            // Without the words on standard error that a panic has of itself.
            std::panic::resume_unwind(Box::new(format!("a simulated panic for a {of:?}")));
        }
    }

    /// After so many steps of this kind in this thread, the next one panics.
    pub(in crate::worker) fn arm(of: StepOf, after: u32) {
        ARMED.set(Some((of, after)));
    }

    /// None is to come.
    pub(in crate::worker) fn disarm() {
        ARMED.set(None);
    }

    /// None is to come, and none there was.
    pub(in crate::worker) fn reset() {
        disarm();
        FIRED.set(0);
    }

    /// How many there were in this thread.
    pub(in crate::worker) fn fired() -> u64 {
        FIRED.get()
    }
}
