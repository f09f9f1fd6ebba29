//! Ingress: from sockets to logs. One of the two files that hold the control flow of the data
//! path (the other is egress.rs).
//!
//! ```text
//!   socket --read--> ring --chunks--> session --media----> intake --> log (one copy)
//!                                        |
//!                                        +--request--> request.rs --> replies
//! ```
//!
//! Reading only appends; nothing is sent here. What a connection may cost in one turn is
//! bounded in bytes read and messages parsed; the rest waits on the ready list, because an
//! edge-triggered poll does not tell again.

use std::io;

use super::close_reason::CloseReason;
use super::conn::MovingPublish;
use super::contain::Step;
use super::core::Core;
use super::flow::Flow;
use super::ids::{ConnId, WorkerId};
use super::session::Incoming;
use crate::limits;
use crate::net::ring::Ring;
use crate::net::transport::Transport;
use crate::rtmp::command::Status;
use crate::rtmp::message::kind;
use crate::rtmp::server::Request;
use crate::stream::content::content_of;

/// What may be parsed for one connection in the rest of a turn.
#[derive(Clone, Copy, Debug)]
struct Quota {
    bytes: usize,
    messages: usize,
}

impl Quota {
    fn is_left(self) -> bool {
        self.bytes > 0 && self.messages > 0
    }

    /// The front of `input` that may be parsed.
    fn part_of(self, input: &[u8]) -> &[u8] {
        &input[..input.len().min(self.bytes)]
    }
}

/// Why reading stopped.
enum Halt {
    /// Nothing more to read for now.
    Drained,
    /// The budget of this turn is used up.
    Budget,
    Move(WorkerId),
    Close(CloseReason),
}

impl<S: Transport> Core<S> {
    /// Reads every connection on the ready list, but for those within a handshake of TLS, which
    /// have a time of their own: [`shake_hands`](Self::shake_hands).
    pub(super) fn ingress(&mut self) {
        // Connections put on the list meanwhile are for the next turn.
        let mut ready = self.conns.take_ready();
        self.turn_share = ready.len().max(1);
        for key in ready.drain(..) {
            if self.queue_handshake(key) {
                continue;
            }
            self.contained(key, Step::Ingress, |core| core.read_conn(key));
        }
        self.conns.keep_ready(ready);
    }

    fn read_conn(&mut self, key: ConnId) {
        let uptime = self.uptime();
        let Some(conn) = self.conns.begin_read(key) else {
            return;
        };
        if conn.is_closing() {
            self.read_off(key);
            return;
        }
        // A session knows no clock: it is given the time once for all that is read now.
        conn.session.set_now(uptime);
        let mut ring = match conn.take_ring() {
            Some(ring) => ring,
            None => self.rings.lend(),
        };
        let halt = self.read_into(key, &mut ring);
        let exceeded = self.check_publisher(key);
        let conn = &mut self.conns[key];
        if ring.is_empty() || conn.is_closing() {
            self.rings.give_back(ring);
        } else {
            conn.keep_ring(ring);
        }
        if !conn.session.pending().is_empty() {
            self.wake(key);
        }
        match (halt, exceeded) {
            (Halt::Close(reason), _) => self.close(key, &reason),
            (_, Some(reason)) => self.close(key, &reason),
            (Halt::Drained, None) => {}
            (Halt::Budget, None) => self.mark_ready(key),
            (Halt::Move(worker), None) => self.move_away(key, worker),
        }
    }

    /// What a publisher has sent is counted, for each of its streams; a reason to close it when it
    /// was too much.
    fn check_publisher(&mut self, key: ConnId) -> Option<CloseReason> {
        let most = self.settings.bitrate_bytes();
        let (mut unkept, mut is_exceeded) = (0, false);
        let mut is_fetched = self.conns[key].is_outbound();
        let mut at = 0;
        while let Some(index) = self.streams.publication_at(key, at) {
            let stream = &mut self.streams[index];
            unkept += stream.intake.take_unkept();
            is_exceeded |= stream.meter.is_exceeded(self.now, most);
            is_fetched |= stream.pull.is_some();
            at += 1;
        }
        if let Some(reason) = self.count_unkept(key, unkept) {
            return Some(reason);
        }
        if is_fetched && let Some(reason) = self.check_pulls(key) {
            return Some(reason);
        }
        if is_exceeded {
            self.refuse_publications(key, "more bits a second than are taken here");
            return Some(CloseReason::Bitrate);
        }
        None
    }

    /// The same of what is fetched.
    fn check_pulls(&mut self, key: ConnId) -> Option<CloseReason> {
        if self.conns[key].errand().is_some() {
            self.note_steps(key);
        }
        let mut at = 0;
        while let Some(index) = self.streams.publication_at(key, at) {
            at += 1;
            let stream = &self.streams[index];
            let Some(pull) = &stream.pull else {
                continue;
            };
            if stream.publisher() != Some(key) {
                if let Err(reason) = self.pull_is_live(key, index) {
                    return Some(reason);
                }
            } else if pull.is_dark() && stream.meter.last_media() == self.now {
                self.pull_resumed(index);
            }
        }
        None
    }

    /// Tells a publisher that none of its publishes goes on.
    fn refuse_publications(&mut self, key: ConnId, why: &str) {
        let session = &mut self.conns[key].session;
        for publication in self.streams.publications(key) {
            session.reject(publication.msid, Status::PublishDenied, why);
        }
        self.wake(key);
    }

    /// Headers of a publisher that came too fast to be kept count as odd; a reason to close it
    /// when there were too many.
    fn count_unkept(&mut self, key: ConnId, unkept: u64) -> Option<CloseReason> {
        if unkept == 0 {
            return None;
        }
        self.gauges.unkept_headers += unkept;
        let layer = self.conns[key].session.rtmp_mut()?;
        layer
            .count_glitches(unkept)
            .err()
            .map(CloseReason::Protocol)
    }

    fn take_unkept(&mut self, key: ConnId) -> u64 {
        let (mut unkept, mut at) = (0, 0);
        while let Some(index) = self.streams.publication_at(key, at) {
            unkept += self.streams[index].intake.take_unkept();
            at += 1;
        }
        unkept
    }

    /// What may be parsed for connection `key` in this turn. Those that bring no media share what
    /// they may have together, so that the media of others waits no longer for many of them.
    fn quota(&self, key: ConnId) -> Quota {
        let conn = &self.conns[key];
        if self.streams.publication_at(key, 0).is_some() || conn.errand().is_some() {
            return Quota {
                bytes: usize::MAX,
                messages: limits::MESSAGES_PER_TURN,
            };
        }
        let share = |of: usize, least| (of / self.turn_share).max(least);
        let messages = share(limits::COMMANDS_TURN_MESSAGES, limits::REQUEST_MESSAGES);
        Quota {
            bytes: share(limits::COMMANDS_TURN_BYTES, limits::COMMANDS_BYTES_LEAST),
            messages: messages.min(limits::MESSAGES_PER_TURN),
        }
    }

    /// Parses what is in the ring and reads more, until the socket is empty or the budget is.
    fn read_into(&mut self, key: ConnId, ring: &mut Ring) -> Halt {
        let mut bytes_left = self.shared.config.read_budget;
        let mut quota = self.quota(key);
        // Of what came in an earlier turn, or within a message of several, something may be left.
        let mut has_input = !ring.is_empty() || self.conns[key].session.has_more();
        loop {
            if has_input {
                match self.parse(key, ring, &mut quota) {
                    Flow::Continue => has_input = false,
                    Flow::Move(worker) => return Halt::Move(worker),
                    Flow::Close(reason) => return Halt::Close(reason),
                }
            }
            if bytes_left == 0 || !quota.is_left() {
                return Halt::Budget;
            }
            let conn = &mut self.conns[key];
            if !conn.is_readable() {
                return Halt::Drained;
            }
            // What is not parsed in this turn stays in the kernel.
            let room = ring.room().min(quota.bytes);
            self.pacer.work().reads += 1;
            match ring.read_from(&mut conn.socket, room) {
                // Clients of HTTP may say that they have no more to say, and listen on.
                Ok(0)
                    if conn
                        .session
                        .http()
                        .is_some_and(|http| http.may_half_close()) =>
                {
                    conn.set_readable(false);
                }
                // What was asked for before the end is answered.
                Ok(0) if conn.session.http().is_some() && conn.has_pending() => {
                    return Halt::Close(CloseReason::Answered);
                }
                Ok(0) => return Halt::Close(CloseReason::PeerClosed),
                Ok(count) => {
                    has_input = true;
                    conn.count_read(count, room, self.now);
                    self.gauges.bytes_in += count as u64;
                    self.pacer.work().read += count as u64;
                    bytes_left = bytes_left.saturating_sub(count);
                    if !self.streams.has_role(key) {
                        // Clients that leave Nagle's algorithm on, as ffmpeg does, write twice
                        // in each step of setting up and wait for this in between.
                        conn.socket.acknowledge();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => conn.set_readable(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Halt::Close(CloseReason::of_socket(&error)),
            }
        }
    }

    /// Parses the ring; it is empty afterwards unless the quota ran out.
    fn parse(&mut self, key: ConnId, ring: &mut Ring, quota: &mut Quota) -> Flow {
        let uptime = self.uptime();
        while quota.is_left() {
            let conn = &self.conns[key];
            if ring.is_empty() && !conn.session.has_more() {
                break;
            }
            let has_errand = conn.errand().is_some();
            let input = quota.part_of(ring.front());
            let (mut at, mut flow) = (0, Flow::Continue);
            while flow == Flow::Continue && quota.messages > 0 {
                let conn = &mut self.conns[key];
                if at > 0 && at == input.len() && !conn.session.has_more() {
                    break;
                }
                quota.messages -= 1;
                match conn.session.next(input, &mut at) {
                    Ok(None) => break,
                    Ok(Some(Incoming::Media(message))) => {
                        let msid = message.header.msid;
                        let Some(index) = self.streams.published_on(key, msid) else {
                            if has_errand {
                                let content = content_of(&message, &mut self.scratch);
                                let (header, body) = (message.header, message.payload.to_vec());
                                flow = self.early_message(key, header, body, content);
                            }
                            continue;
                        };
                        let stream = &mut self.streams[index];
                        let is_media = match &mut stream.pull {
                            // Of an origin that repeats headers nothing comes.
                            Some(pull) => pull.takes(content_of(&message, &mut self.scratch)),
                            None => matches!(message.header.kind, kind::AUDIO | kind::VIDEO),
                        };
                        if is_media {
                            stream.meter.note_media(self.now);
                        }
                        stream.meter.count(message.payload.len());
                        let (log, blocks) = (&mut stream.log, &mut self.blocks);
                        let scratch = &mut self.scratch;
                        stream.intake.set_now(uptime);
                        stream.intake.take(log, blocks, scratch, &message);
                        self.pacer.count_message(stream.players.len());
                        self.gauges.messages_in += 1;
                        self.mark_dirty(index);
                    }
                    Ok(Some(Incoming::Request(request))) => {
                        quota.messages = quota.messages.saturating_sub(limits::REQUEST_MESSAGES);
                        flow = self.request_of_client(key, request);
                    }
                    Ok(Some(Incoming::Answer(answer))) => flow = self.answered(key, answer),
                    Ok(Some(Incoming::Http(request))) => {
                        quota.messages = quota.messages.saturating_sub(limits::REQUEST_MESSAGES);
                        flow = self.http_request(key, &request);
                    }
                    Err(reason) => flow = Flow::Close(reason),
                }
            }
            let ended = self.conns[key].session.end_input(input, at);
            ring.consume(at);
            quota.bytes -= at;
            if let (Flow::Continue, Err(reason)) = (&flow, ended) {
                flow = Flow::Close(reason);
            }
            if flow != Flow::Continue {
                return flow;
            }
        }
        Flow::Continue
    }

    fn request_of_client(&mut self, key: ConnId, request: Request) -> Flow {
        // Before it ends a publish, which then nobody answers for.
        let unkept = self.take_unkept(key);
        match self.count_unkept(key, unkept) {
            Some(reason) => Flow::Close(reason),
            None => self.request(key, request),
        }
    }

    /// Reads and drops what a closing connection still sends: data left unread would make the
    /// kernel reset the connection and lose the status that is on its way. Of a peer that sends
    /// more than it may so, the rest stays in the kernel, where TCP holds it up.
    fn read_off(&mut self, key: ConnId) {
        let mut ring = self.rings.lend();
        let conn = &mut self.conns[key];
        let mut gone = false;
        for _ in 0..4 {
            if conn.read_off_left() == 0 {
                self.rings.give_back(ring);
                return;
            }
            let left = conn.read_off_left() as usize;
            match ring.read_from(&mut conn.socket, left) {
                Ok(0) => gone = true,
                Ok(count) => {
                    ring.consume(count);
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    conn.count_read_off(count);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // By a signal: it is owed the status as before.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => gone = true,
            }
            self.rings.give_back(ring);
            if gone {
                self.remove(key);
            }
            return;
        }
        self.rings.give_back(ring);
        self.mark_ready(key);
    }

    /// Hands a connection to the worker that has the stream it wants to publish.
    fn move_away(&mut self, key: ConnId, worker: WorkerId) {
        if let Some(mut conn) = self.conns.remove(key) {
            self.timers.disarm(&mut conn.armed);
            self.outbox
                .send(worker, super::mail::Mail::Adopt(Box::new(conn)));
        }
    }

    /// Goes on with the publish that brought a connection here.
    pub fn resume_publish(&mut self, key: ConnId) {
        self.contained(key, Step::Ingress, |core| core.publish_after_move(key));
    }

    fn publish_after_move(&mut self, key: ConnId) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Some(moving) = conn.take_moving() else {
            return;
        };
        let MovingPublish { msid, name, kind } = moving;
        match self.claim(key, msid, name, kind) {
            Flow::Continue => {
                self.wake(key);
                self.mark_ready(key);
            }
            Flow::Move(worker) => self.move_away(key, worker),
            Flow::Close(reason) => self.close(key, &reason),
        }
    }

    /// Goes on with one handshake; false when none may go on now.
    pub(super) fn shake_hands(&mut self) -> bool {
        let has_rates = self.shared.config.max_per_address.is_some();
        let times = (self.now, self.uptime());
        let Some(key) = self.handshakes.take(has_rates, times) else {
            return false;
        };
        if self.conns.contains(key) {
            self.contained(key, Step::Ingress, |core| core.read_conn(key));
        }
        true
    }

    /// Puts a connection that is within its handshake in line; false when it is not, and may be
    /// read at once.
    fn queue_handshake(&mut self, key: ConnId) -> bool {
        let Some(conn) = self.conns.get(key) else {
            return false;
        };
        if conn.is_closing() || !conn.socket.is_handshaking() {
            return false;
        }
        self.handshakes.queue(key, conn);
        true
    }
}
