//! A connection from a relay to what it has dialled: another relay, a server of another kind, or
//! nobody.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::wire::{End, Wire};
use super::lines::ROOM_AT_REST;
use super::server::Server;

/// See the module text.
pub(super) struct Cable {
    /// The end of the relay that dialled.
    pub(super) near: Rc<RefCell<Wire>>,
    pub(super) far: Far,
    /// Steps until it is connected.
    pub(super) connects_in: usize,
    /// Nothing goes through any more, and nobody is told.
    pub(super) is_hole: bool,
}

/// Who is at the other end.
pub(super) enum Far {
    /// A relay, which has accepted it once it has a wire.
    Relay(usize, Option<Rc<RefCell<Wire>>>),
    Server(Box<Server>),
    /// Nobody; it is refused, unless it is a hole.
    Nobody,
}

impl Cable {
    /// Moves up to `count` bytes each way; whether any moved, or an end.
    pub(super) fn carry(&self, count: usize) -> bool {
        if self.is_hole || self.connects_in > 0 {
            return false;
        }
        match &self.far {
            Far::Relay(_, Some(far)) => join(&self.near, far, count) | join(far, &self.near, count),
            Far::Relay(_, None) | Far::Server(_) | Far::Nobody => false,
        }
    }

    /// It is cut: both ends are told.
    pub(super) fn cut(&mut self) {
        self.near.borrow_mut().client_ends(End::Reset);
        match &mut self.far {
            Far::Relay(_, Some(far)) => far.borrow_mut().client_ends(End::Reset),
            Far::Relay(_, None) | Far::Nobody => {}
            Far::Server(server) => server.is_gone = true,
        }
    }

    /// Whatever was in its way is so no longer.
    pub(super) fn mend(&mut self) {
        self.is_hole = matches!(self.far, Far::Nobody) && self.is_hole;
        self.near.borrow_mut().widen(ROOM_AT_REST);
        match &mut self.far {
            Far::Relay(_, Some(far)) => far.borrow_mut().widen(ROOM_AT_REST),
            Far::Server(server) => server.wake(),
            Far::Relay(_, None) | Far::Nobody => {}
        }
    }

    /// Whether nobody uses it any more.
    pub(super) fn is_over(&self) -> bool {
        self.near.borrow().relay_gone
            && match &self.far {
                Far::Relay(_, Some(far)) => far.borrow().relay_gone,
                Far::Relay(_, None) | Far::Nobody => true,
                Far::Server(server) => server.is_gone || self.is_hole || self.connects_in > 0,
            }
    }
}

/// Carries from `from` to `to`, and the end behind the last byte.
fn join(from: &Rc<RefCell<Wire>>, to: &Rc<RefCell<Wire>>, count: usize) -> bool {
    let (mut from, mut to) = (from.borrow_mut(), to.borrow_mut());
    let count = count.min(from.to_client.len());
    let sent = to.client_send(&from.to_client.front()[..count], count);
    from.client_took(sent);
    let end = match (from.relay_fin, from.relay_gone) {
        _ if !from.to_client.is_empty() => End::Open,
        (_, true) => End::Closed,
        (true, false) => End::Fin,
        (false, false) => End::Open,
    };
    let is_new = match (to.client_end, end) {
        (End::Open, End::Fin | End::Closed) | (End::Fin, End::Closed) => !to.relay_gone,
        _ => false,
    };
    if is_new {
        to.client_ends(end);
    }
    sent > 0 || is_new
}
