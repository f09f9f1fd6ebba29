//! Names have been resolved and connections opened: they become connections of this worker.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use log::debug;

use super::address::Key;
use super::conn::Conn;
use super::core::Core;
use super::ids::{ConnId, StreamId};
use super::line::{Call, Errand, Task};
use super::shares::Full;
use crate::edge::hops::{self, Via};
use crate::logging::quoted;
use crate::net::transport::Transport;
use crate::rtmp::client::{Action, ClientRequest, ClientSession};
use crate::rtmp::handshake::Mode;

impl<S: Transport> Core<S> {
    /// What the event loop is to find or to connect to.
    pub fn calls(&mut self) -> &mut Vec<Call> {
        self.calls.requests()
    }

    /// A socket on its way to `address`, or why there is none; the slab key of the connection,
    /// for the event loop to register.
    pub fn dialled(
        &mut self,
        id: u64,
        address: SocketAddr,
        dialled: io::Result<S>,
    ) -> Option<ConnId> {
        let mut key = None;
        self.contained_call(id, |core| key = core.take_dialled(id, address, dialled));
        key
    }

    /// Counts a connection of a line; for which address, or why there may be none.
    pub(super) fn enter_dialled(
        &mut self,
        index: StreamId,
        task: Task,
    ) -> Result<Option<Key>, &'static str> {
        let stream = &self.streams[index];
        let addresses = match task {
            Task::Pull => self.askers(index),
            Task::Push(rule) => vec![stream.push(rule).and_then(|push| push.publisher())],
        };
        let enter = |core: &Self| match task {
            Task::Pull => core.shared.admission.enter_pull(&addresses),
            Task::Push(_) => {
                let entered = core.shared.admission.enter_push(addresses[0]);
                entered.map(|()| addresses[0])
            }
        };
        let entered = match enter(self) {
            Err(full) if self.let_go_for_dial((index, task), full, &addresses) => enter(self),
            entered => entered,
        };
        if task == Task::Pull
            && let Some(pull) = &mut self.streams[index].pull
        {
            match entered {
                Ok(asker) => pull.askers_mut().charge(asker),
                Err(Full::Address) => pull.lack_room(),
                Err(Full::All) => {}
            }
        }
        match (entered, task) {
            (Ok(address), _) => Ok(address),
            (Err(Full::Address), Task::Pull) => {
                Err("too many connections for the address that asked, see --max-per-address")
            }
            (Err(Full::Address), Task::Push(_)) => {
                Err("too many pushes for the address of the publisher, see --max-per-address")
            }
            (Err(Full::All), Task::Pull) => Err("too many connections, see --max-connections"),
            (Err(Full::All), Task::Push(_)) => {
                Err("too many connections, pushes have half of --max-connections")
            }
        }
    }

    /// The addresses of a name that was asked for, or why there are none.
    pub fn resolved(&mut self, id: u64, found: Result<Vec<SocketAddr>, String>) {
        self.contained_call(id, |core| core.take_addresses(id, found));
    }

    fn take_dialled(
        &mut self,
        id: u64,
        address: SocketAddr,
        dialled: io::Result<S>,
    ) -> Option<ConnId> {
        let (index, task) = self.calls.end(id)?;
        let socket = match dialled {
            Ok(socket) => socket,
            Err(error) => {
                if !self.call_next_address(index, task) {
                    self.line_failed(index, task, &format!("{address}: {error}"));
                }
                return None;
            }
        };
        let place = self.target_of(index, task)?.place;
        let charged = match self.enter_dialled(index, task) {
            Ok(charged) => charged,
            Err(why) => {
                self.line_failed(index, task, why);
                return None;
            }
        };
        let via = self.via_of(index, task);
        let (action, flash_ver) = match task {
            Task::Pull => (Action::Play, "LNX 9,0,124,2 (compatible; tailwater)"),
            // FMLE's name makes servers answer as to an encoder.
            Task::Push(_) => (Action::Publish, "FMLE/3.0 (compatible; tailwater)"),
        };
        let request = ClientRequest {
            app: place.app,
            tc_url: place.tc_url,
            stream: place.stream,
            action,
            // Who does not know it takes it for a plain one.
            handshake: Mode::Digest,
            chunk_size: self.settings.wire().chunk_size,
            flash_ver: flash_ver.to_owned(),
            property: (hops::VIA_KEY, via),
            mark: hops::RELAY_KEY,
        };
        let conn_id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let session = ClientSession::new(request, self.next_seed(conn_id));
        let errand = Errand::new(index, task, self.now);
        let mut conn = Conn::dialled(conn_id, socket, address, session, errand, charged, self.now);
        let stream = &self.streams[index].name;
        conn.set_asked(stream.clone());
        debug!(
            "conn={conn_id} dialled stream={} peer={address} worker={}",
            quoted(stream),
            self.worker
        );
        let key = self.insert_dialled(conn);
        if let Some(line) = self.line(index, task) {
            line.set_up(key);
        }
        if task == Task::Pull {
            self.charge_pull(index);
        }
        Some(key)
    }

    fn via_of(&self, index: StreamId, task: Task) -> String {
        let stream = &self.streams[index];
        let own = self.shared.relay_id;
        let via = match task {
            Task::Pull => self.shared.registry.marker(&stream.name).via(own),
            Task::Push(_) => match &stream.relays {
                Some(relays) => relays.via_of_publisher(own),
                None => Via::default().extended(own),
            },
        };
        via.to_string()
    }

    /// Takes a connection to another server, which is counted already; its slab key.
    fn insert_dialled(&mut self, conn: Conn<S>) -> ConnId {
        let key = self.conns.insert(conn);
        self.arm(key, self.now + self.shared.config.pull_timeout);
        key
    }
}
