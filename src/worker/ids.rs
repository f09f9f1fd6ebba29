//! What tells one thing from another: connections, streams, workers, rules, players of a stream.
//! Each is a type of its own, so that using one for another does not compile.
//!
//! Connections and streams have a generation beside their slot in a `Table` (collections.rs).

use std::fmt;

/// The key of a `Table`.
pub trait TableKey: Copy + Eq {
    /// The key of `slot`, as it is used for the `generation`th time.
    fn new(slot: u32, generation: u32) -> Self;
    /// The place in the table.
    fn slot(self) -> u32;
    /// How many entries of the table came before this one, modulo [`GENERATIONS`].
    fn generation(self) -> u32;
}

/// How many generations there are. A key fits in a poll token of 64 bits, with the highest bit left
/// over, and so do the tokens that have all others set.
pub const GENERATIONS: u32 = (1 << 31) - 1;

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            slot: u32,
            generation: u32,
        }

        impl $name {
            /// The key of `slot`, as used by the `generation`th entry.
            pub fn new(slot: u32, generation: u32) -> Self {
                Self { slot, generation }
            }

            /// The place in the table.
            pub fn slot(self) -> u32 {
                self.slot
            }

            /// How many entries of the table came before this one, modulo [`GENERATIONS`].
            pub fn generation(self) -> u32 {
                self.generation
            }

            /// The key as part of a poll token: the slot below, the generation above it.
            pub fn to_token(self) -> usize {
                self.slot as usize | (self.generation as usize) << 32
            }

            /// The key that makes `token`.
            #[expect(clippy::cast_possible_truncation, reason = "the halves of a token")]
            pub fn of_token(token: usize) -> Self {
                Self::new(token as u32, (token >> 32) as u32)
            }
        }

        impl TableKey for $name {
            fn new(slot: u32, generation: u32) -> Self {
                Self::new(slot, generation)
            }

            fn slot(self) -> u32 {
                self.slot
            }

            fn generation(self) -> u32 {
                self.generation
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.slot.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}:{})", stringify!($name), self.slot, self.generation)
            }
        }
    )*};
}

keys! {
    /// A connection of one worker. Another worker that takes the connection gives it another.
    ConnId
    /// A stream of one worker.
    StreamId
    /// A connection that has to say first who its client is.
    WaitingId
}

impl ConnId {
    /// A key that no connection has.
    pub const NONE: Self = Self {
        slot: u32::MAX,
        generation: u32::MAX,
    };
}

/// The index of a [`List`](super::collections::List).
pub trait ListIndex: Copy {
    /// Number `index`, from 0 on.
    fn new(index: usize) -> Self;
    /// Which of them, from 0 on.
    fn index(self) -> usize;
}

macro_rules! indices {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        impl $name {
            /// Number `index`, from 0 on.
            pub fn new(index: usize) -> Self {
                Self(narrow(index))
            }

            /// Which of them, from 0 on.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl ListIndex for $name {
            fn new(index: usize) -> Self {
                Self::new(index)
            }

            fn index(self) -> usize {
                self.index()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

indices! {
    /// A worker, from 0 to `--workers` - 1.
    WorkerId
    /// A `--pull` rule, in the order in which they were given.
    PullRuleId
    /// A `--push` rule, in the order in which they were given.
    PushRuleId
    /// An origin of a `--pull` rule, in the order in which the rule names them.
    OriginId
    /// The place of a player in the list of its stream; it changes when another player leaves.
    PlayerSlot
}

impl WorkerId {
    /// The first; there is always one.
    pub const FIRST: Self = Self(0);
}

impl PlayerSlot {
    /// A place that no player has.
    pub const NONE: Self = Self(u32::MAX);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "of nothing that is kept in memory are there 2^32"
)]
pub(super) fn narrow(index: usize) -> u32 {
    debug_assert!(u32::try_from(index).is_ok(), "{index} of them");
    index as u32
}
