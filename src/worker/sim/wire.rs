//! A simulated connection: two pipes of bounded capacity, and what epoll would tell of the end
//! that the relay has.
//!
//! Readiness is edge-triggered. Arriving bytes or an end put the socket on the list of its poll
//! once; what is told when the poll looks is the state at that moment. A write that did not fit
//! is followed by an event as soon as a third of the pipe is free again, and by none before.
//! Reads give all there is, as the kernel does: a short read means that the pipe is empty.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use crate::net::transport::Transport;
use crate::worker::event_loop::reactor::Token;
use crate::worker::ids::ConnId;

/// Bytes on their way in one direction.
#[derive(Debug)]
pub(super) struct Pipe {
    bytes: Vec<u8>,
    head: usize,
    capacity: usize,
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            bytes: Vec::new(),
            head: 0,
            capacity,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.len())
    }

    pub(super) fn front(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.head += count;
        if self.head == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
        } else if self.head > 1 << 18 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }
}

/// What the client has done to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// It sends no more, but may read on.
    Fin,
    /// It neither sends nor reads: the first byte written to it resets the connection.
    Closed,
    /// The connection is reset.
    Reset,
}

/// See the module text.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) to_relay: Pipe,
    pub(super) to_client: Pipe,
    pub(super) client_end: End,
    /// The relay sends no more.
    pub(super) relay_fin: bool,
    /// The relay has dropped its socket.
    pub(super) relay_gone: bool,
    /// The poll that watches the socket.
    pub(super) watch: Option<Watch>,
    /// The relay connects, and is not connected yet.
    pub(super) is_connecting: bool,
    /// On the list of the poll.
    pub(super) event: bool,
    /// The relay's last write did not fit, and it was not told since that there is room.
    pub(super) full: bool,
    /// Calls until one is interrupted by a signal.
    pub(super) interrupt_in: u32,
    /// Calls until one panics, each panic on its own.
    pub(super) panic_in: Panics,
    /// How long the relay's calls have taken that its clock has not counted yet.
    pub(super) spent: Duration,
    /// How long each write takes.
    pub(super) write_time: Duration,
}

/// How long each read takes.
const READ_TIME: Duration = Duration::from_micros(5);

/// Which poll watches a socket, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) worker: usize,
    pub(super) poll: Poll,
    pub(super) token: Token,
}

/// One of the polls of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poll {
    Main,
    Publishers,
}

/// When a socket makes whoever uses it panic, as a defect of the relay would.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Panics {
    /// Reads until one does.
    pub(super) read: Option<u32>,
    /// Writes until one does.
    pub(super) write: Option<u32>,
    /// How many did.
    pub(super) fired: u64,
}

impl Panics {
    fn count(calls: &mut Option<u32>, fired: &mut u64) {
        if let Some(left) = calls {
            if *left == 0 {
                *calls = None;
                *fired += 1;
                // Without the words on standard error that a panic has of itself.
                std::panic::resume_unwind(Box::new("a simulated panic"));
            }
            *left -= 1;
        }
    }
}

/// What epoll tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) hangup: bool,
}

impl Wire {
    pub(super) fn new(capacity_in: usize, capacity_out: usize) -> Self {
        Self {
            to_relay: Pipe::new(capacity_in),
            to_client: Pipe::new(capacity_out),
            client_end: End::Open,
            relay_fin: false,
            relay_gone: false,
            watch: None,
            is_connecting: false,
            event: false,
            full: false,
            interrupt_in: 50,
            panic_in: Panics::default(),
            spent: Duration::ZERO,
            write_time: Duration::ZERO,
        }
    }

    /// What is true now, whether it was told or not.
    pub(super) fn readiness(&self) -> Readiness {
        let hangup = self.client_end != End::Open;
        Readiness {
            readable: !self.to_relay.is_empty() || hangup,
            writable: self.to_client.room() * 3 >= self.to_client.capacity
                || self.client_end == End::Reset,
            hangup,
        }
    }

    /// The poll looks: what it tells, if it tells anything.
    pub(super) fn harvest(&mut self) -> Option<Readiness> {
        if !std::mem::take(&mut self.event) {
            return None;
        }
        let now = self.readiness();
        // Who was looked at and is not writable is on the kernel's list to be told.
        self.full = !now.writable;
        Some(now)
    }

    /// A poll begins to watch the socket; it is told at once what is true.
    pub(super) fn watched(&mut self, watch: Watch) {
        self.watch = Some(watch);
        self.event = !self.is_connecting;
    }

    /// No poll watches the socket any more.
    pub(super) fn unwatched(&mut self) {
        self.watch = None;
        self.event = false;
    }

    /// The relay is connected.
    pub(super) fn connected(&mut self) {
        self.is_connecting = false;
        self.tell();
    }

    /// The poll has something to tell, if there is one.
    fn tell(&mut self) {
        self.event = self.watch.is_some();
    }

    /// The worker and the key of the connection, while it is watched as one.
    pub(super) fn seat(&self) -> Option<(usize, ConnId)> {
        match self.watch?.token {
            Token::Conn(key) => Some((self.watch?.worker, key)),
            _ => None,
        }
    }

    /// The client's kernel sends up to `count` of `bytes`; how many.
    pub(super) fn client_send(&mut self, bytes: &[u8], count: usize) -> usize {
        let count = count.min(bytes.len()).min(self.to_relay.room());
        if count > 0 && self.client_end == End::Open && !self.relay_gone {
            self.to_relay.push(&bytes[..count]);
            self.tell();
        }
        count
    }

    /// The client reads up to `count` bytes; also whether the relay has ended and all was read.
    pub(super) fn client_read(&mut self, count: usize) -> (Vec<u8>, bool) {
        let count = count.min(self.to_client.len());
        let input = self.to_client.front()[..count].to_vec();
        self.client_took(count);
        (input, self.relay_fin && self.to_client.is_empty())
    }

    /// The client has read `count` bytes.
    pub(super) fn client_took(&mut self, count: usize) {
        self.to_client.consume(count);
        if self.full && self.to_client.room() * 3 >= self.to_client.capacity {
            self.full = false;
            self.tell();
        }
    }

    /// The pipes take so many bytes from now on, if they took fewer.
    pub(super) fn widen(&mut self, room: usize) {
        for pipe in [&mut self.to_relay, &mut self.to_client] {
            pipe.capacity = pipe.capacity.max(room);
        }
        self.client_took(0);
    }

    /// The client ends its side.
    pub(super) fn client_ends(&mut self, end: End) {
        if self.client_end != End::Reset {
            self.client_end = end;
            self.is_connecting = false;
            self.tell();
        }
    }
}

/// The relay's end of a connection.
#[derive(Debug)]
pub(super) struct SimSocket {
    /// Which client it is.
    pub(super) client: usize,
    pub(super) wire: Rc<RefCell<Wire>>,
}

impl SimSocket {
    fn interrupted(&self) -> io::Result<()> {
        let mut wire = self.wire.borrow_mut();
        wire.interrupt_in = wire.interrupt_in.wrapping_sub(1);
        if wire.interrupt_in.is_multiple_of(97) {
            return Err(ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

impl Read for SimSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.interrupted()?;
        let mut wire = self.wire.borrow_mut();
        wire.spent += READ_TIME;
        let panics = &mut wire.panic_in;
        Panics::count(&mut panics.read, &mut panics.fired);
        if wire.to_relay.is_empty() {
            return match wire.client_end {
                End::Open => Err(ErrorKind::WouldBlock.into()),
                End::Fin | End::Closed => Ok(0),
                End::Reset => Err(ErrorKind::ConnectionReset.into()),
            };
        }
        let mut count = 0;
        for buffer in buffers {
            let now = buffer.len().min(wire.to_relay.len());
            buffer[..now].copy_from_slice(&wire.to_relay.front()[..now]);
            wire.to_relay.consume(now);
            count += now;
        }
        Ok(count)
    }
}

impl Write for SimSocket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(buffers.len() <= 1_024, "more slices than IOV_MAX");
        self.interrupted()?;
        let mut wire = self.wire.borrow_mut();
        let write_time = wire.write_time;
        wire.spent += write_time;
        let panics = &mut wire.panic_in;
        Panics::count(&mut panics.write, &mut panics.fired);
        assert!(!wire.relay_fin, "the relay writes after its own end");
        match wire.client_end {
            End::Open | End::Fin => {}
            End::Closed => {
                wire.client_ends(End::Reset);
                return Ok(buffers.iter().map(|buffer| buffer.len()).sum());
            }
            End::Reset => return Err(ErrorKind::BrokenPipe.into()),
        }
        let (mut written, mut total) = (0, 0);
        for buffer in buffers {
            let now = buffer.len().min(wire.to_client.room());
            wire.to_client.push(&buffer[..now]);
            written += now;
            total += buffer.len();
        }
        if written < total {
            wire.full = true;
        }
        if written == 0 && total > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for SimSocket {
    fn shutdown_write(&mut self) {
        self.wire.borrow_mut().relay_fin = true;
    }

    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.interrupted()?;
        let wire = self.wire.borrow();
        let there = wire.to_relay.front();
        match wire.client_end {
            End::Open if there.is_empty() => Err(ErrorKind::WouldBlock.into()),
            End::Reset if there.is_empty() => Err(ErrorKind::ConnectionReset.into()),
            _ => {
                let count = there.len().min(into.len());
                into[..count].copy_from_slice(&there[..count]);
                Ok(count)
            }
        }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut wire = self.wire.borrow_mut();
        wire.relay_gone = true;
        wire.relay_fin = true;
        wire.unwatched();
    }
}
