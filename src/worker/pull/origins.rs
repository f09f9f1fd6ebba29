//! The origins of a stream that is fetched: in which order they are asked, and how far that is.

use crate::worker::ids::OriginId;

/// They are asked in rounds, with a pause after each.
#[derive(Debug)]
pub(super) struct Origins {
    /// In the order in which they are asked.
    order: Vec<OriginId>,
    /// The one that is asked, or was last.
    asked: OriginId,
    /// Place in `order` of the one to be asked next.
    next: usize,
    /// Those still to be asked before the next pause, ...
    left: usize,
    /// ... those that were asked since the last, ...
    tried: usize,
    /// ... and how many of them do not have the stream.
    missing: usize,
}

impl Origins {
    pub(super) fn new(order: Vec<OriginId>) -> Self {
        Self {
            asked: order[0],
            next: 0,
            left: order.len(),
            tried: 0,
            missing: 0,
            order,
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> &[OriginId] {
        &self.order
    }

    /// The one that is asked, or was last.
    pub(super) fn asked(&self) -> OriginId {
        self.asked
    }

    /// It is the turn of `server`.
    pub(super) fn turn_to(&mut self, server: OriginId) {
        self.asked = server;
    }

    /// All are asked anew.
    pub(super) fn begin_round(&mut self) {
        self.left = self.order.len();
        (self.tried, self.missing) = (0, 0);
    }

    /// Goes on behind `server`.
    pub(super) fn go_on_behind(&mut self, server: OriginId) {
        let at = self.order.iter().position(|its| *its == server);
        self.next = (at.unwrap_or(0) + 1) % self.order.len();
    }

    /// `server` has had its turn in the round that begins, and does not have the stream if it
    /// `is_missing` there.
    pub(super) fn begin_behind(&mut self, server: OriginId, is_missing: bool) {
        self.go_on_behind(server);
        self.left -= 1;
        (self.tried, self.missing) = (1, usize::from(is_missing));
    }

    /// The next of this round.
    pub(super) fn next(&mut self) -> Option<OriginId> {
        self.left = self.left.checked_sub(1)?;
        let server = self.order[self.next];
        self.next = (self.next + 1) % self.order.len();
        Some(server)
    }

    /// The last that [`next`](Self::next) gave is asked later.
    pub(super) fn put_back(&mut self) {
        self.left += 1;
        self.next = (self.next + self.order.len() - 1) % self.order.len();
    }

    /// One is asked.
    pub(super) fn count_asked(&mut self) {
        self.tried += 1;
    }

    /// One that was asked does not have the stream.
    pub(super) fn count_missing(&mut self) {
        self.missing += 1;
    }

    /// Whether none was asked in this round.
    pub(super) fn is_round_new(&self) -> bool {
        self.tried == 0
    }

    /// Whether it was the turn of all in this round.
    pub(super) fn is_round_over(&self) -> bool {
        self.left == 0
    }

    /// Whether some were asked in this round, and none of them has the stream.
    pub(super) fn all_lack_it(&self) -> bool {
        self.tried > 0 && self.missing == self.tried
    }
}
