//! What workers share, as loom runs it: `worker/mail.rs` and `worker/registry.rs` of the relay,
//! compiled as they are, with loom's mutex and atomics in the place of those of the standard
//! library. The models are in tests/.
//!
//! The two files say `std::sync`; here `std` is this crate, which has the few parts of it that
//! they name. What letters carry is of no matter and stands for itself by name only.

#![allow(
    unfulfilled_lint_expectations,
    reason = "the files expect lints of the types that loom's have replaced"
)]

extern crate self as std;
extern crate std as real;

/// Threads meet here and nowhere else.
pub mod sync {
    pub use loom::sync::{Mutex, MutexGuard};
    // Who holds a name or a header set is no part of the models.
    pub use real::sync::{Arc, PoisonError};

    /// Atomics.
    pub mod atomic {
        pub use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    }
}

pub use real::{collections, fmt, mem, net};

/// What the registry counts up to.
pub mod limits {
    /// The most workers there may be.
    pub const WORKERS_MAX: usize = 64;
    /// The part of what is free that one address may have.
    pub const ADDRESS_SHARE: usize = 4;
    /// The most bans there may be.
    pub const BANS_MAX: usize = 4;
    /// The most names of ended streams that are remembered.
    pub const ENDED_MAX: usize = 4;
}

/// What an edge says of the relays that play there is no part of the models.
pub mod edge {
    /// Chains of relays.
    pub mod hops {
        /// The relays that play a stream on one worker.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Marker;

        impl Marker {
            /// Those of several workers together.
            pub fn merged<'a>(_: impl Iterator<Item = &'a Self>) -> Self {
                Self
            }
        }
    }
}

/// What a log is to mail.
pub mod stream {
    /// Sets of headers.
    pub mod headers {
        /// A set of headers.
        #[derive(Debug)]
        pub struct Headers;
    }

    /// The log.
    pub mod log {
        /// A message in it.
        #[derive(Debug)]
        pub struct Frame;

        /// The recent part of it.
        #[derive(Debug)]
        pub struct Snapshot;
    }
}

pub mod worker;
