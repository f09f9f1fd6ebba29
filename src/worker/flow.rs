//! What becomes of a connection that was served.

use super::close_reason::CloseReason;
use super::ids::WorkerId;

/// What became of a connection that was served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It goes on.
    Continue,
    /// Its publish belongs to another worker: it goes there, with all it has.
    Move(WorkerId),
    /// It ends.
    Close(CloseReason),
}

impl Flow {
    /// Another server refuses what was asked of it, and says `why`.
    pub(super) fn refused(why: &str) -> Self {
        Self::Close(CloseReason::refused(why))
    }
}
