//! How far the end of a relay has come.

use std::time::Instant;

/// See the module text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Draining {
    /// The relay runs.
    #[default]
    No,
    /// Nothing new begins, and everybody is told and closed at this time.
    Until(Instant),
    /// Everybody was told and closed.
    Done,
}

impl Draining {
    /// Whether nothing new begins any more.
    pub(super) fn has_begun(self) -> bool {
        !matches!(self, Self::No)
    }

    /// Whether everybody was told and closed.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Done)
    }

    /// When everybody is told and closed, unless that was done.
    pub(super) fn due(self) -> Option<Instant> {
        match self {
            Self::Until(at) => Some(at),
            Self::No | Self::Done => None,
        }
    }
}
