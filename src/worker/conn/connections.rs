//! The connections of a worker, and the lists of those that are to be served: whoever may have
//! something to read, has something to send, publishes since a moment ago, or waits for a request.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use super::Conn;
use crate::worker::collections::Table;
use crate::worker::ids::ConnId;

/// See the module text.
#[derive(Debug)]
pub(in crate::worker) struct Connections<S> {
    entries: Table<ConnId, Conn<S>>,
    /// Those that may have something to read.
    ready: Vec<ConnId>,
    /// Those that have something to send or may send again.
    woken: Vec<ConnId>,
    /// Those whose publish was accepted, for the event loop to gather reads of.
    new_publishers: Vec<ConnId>,
    /// Newcomers by HTTP that wait for a request, by id: the oldest first.
    idle_http: BTreeMap<u64, ConnId>,
}

impl<S> Default for Connections<S> {
    fn default() -> Self {
        Self {
            entries: Table::default(),
            ready: Vec::new(),
            woken: Vec::new(),
            new_publishers: Vec::new(),
            idle_http: BTreeMap::new(),
        }
    }
}

/// Entries.
impl<S> Connections<S> {
    /// Adds a connection, which is on no list.
    pub(in crate::worker) fn insert(&mut self, mut conn: Conn<S>) -> ConnId {
        conn.in_ready = false;
        conn.in_woken = false;
        self.entries.insert(conn)
    }

    /// Takes a connection out. The lists may still have its key, by which nothing is found.
    pub(in crate::worker) fn remove(&mut self, key: ConnId) -> Option<Conn<S>> {
        let conn = self.entries.remove(key)?;
        self.idle_http.remove(&conn.id);
        Some(conn)
    }

    pub(in crate::worker) fn get(&self, key: ConnId) -> Option<&Conn<S>> {
        self.entries.get(key)
    }

    pub(in crate::worker) fn get_mut(&mut self, key: ConnId) -> Option<&mut Conn<S>> {
        self.entries.get_mut(key)
    }

    pub(in crate::worker) fn contains(&self, key: ConnId) -> bool {
        self.entries.contains(key)
    }

    pub(in crate::worker) fn iter(&self) -> impl DoubleEndedIterator<Item = (ConnId, &Conn<S>)> {
        self.entries.iter()
    }

    #[cfg(test)]
    pub(in crate::worker) fn iter_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = (ConnId, &mut Conn<S>)> {
        self.entries.iter_mut()
    }

    pub(in crate::worker) fn keys(&self) -> Vec<ConnId> {
        self.entries.keys()
    }

    pub(in crate::worker) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Lists.
impl<S> Connections<S> {
    /// A connection may have something to read.
    pub(in crate::worker) fn mark_ready(&mut self, key: ConnId) {
        if let Some(conn) = self.entries.get_mut(key)
            && !conn.in_ready
        {
            conn.in_ready = true;
            self.ready.push(key);
        }
    }

    /// A connection has something to send or may send again.
    pub(in crate::worker) fn wake(&mut self, key: ConnId) {
        if let Some(conn) = self.entries.get_mut(key)
            && !conn.in_woken
        {
            conn.in_woken = true;
            self.woken.push(key);
        }
    }

    /// Whether any is on one of the two lists.
    pub(in crate::worker) fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.woken.is_empty()
    }

    /// Those that may have something to read; those that are marked from now on are for the next
    /// turn. The list goes back by [`keep_ready`](Self::keep_ready).
    pub(in crate::worker) fn take_ready(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.ready)
    }

    /// Keeps a list that has been gone through for its memory.
    pub(in crate::worker) fn keep_ready(&mut self, mut list: Vec<ConnId>) {
        list.clear();
        list.append(&mut self.ready);
        self.ready = list;
    }

    /// The same for those that have something to send or may send again.
    pub(in crate::worker) fn take_woken(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.woken)
    }

    /// See [`keep_ready`](Self::keep_ready).
    pub(in crate::worker) fn keep_woken(&mut self, mut list: Vec<ConnId>) {
        list.clear();
        list.append(&mut self.woken);
        self.woken = list;
    }

    /// A connection that was on the list is read now.
    pub(in crate::worker) fn begin_read(&mut self, key: ConnId) -> Option<&mut Conn<S>> {
        let conn = self.entries.get_mut(key)?;
        conn.in_ready = false;
        Some(conn)
    }

    /// A connection that was on the list is written to now.
    pub(in crate::worker) fn begin_write(&mut self, key: ConnId) -> Option<&mut Conn<S>> {
        let conn = self.entries.get_mut(key)?;
        conn.in_woken = false;
        Some(conn)
    }

    /// A publish of a connection was accepted.
    pub(in crate::worker) fn add_publisher(&mut self, key: ConnId) {
        self.new_publishers.push(key);
    }

    /// Those whose publish was accepted since the last call.
    pub(in crate::worker) fn take_publishers(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.new_publishers)
    }

    /// A connection by HTTP waits for a request.
    pub(in crate::worker) fn await_request(&mut self, key: ConnId) {
        if let Some(conn) = self.entries.get(key) {
            self.idle_http.insert(conn.id, key);
        }
    }

    /// A connection by HTTP has its request.
    pub(in crate::worker) fn has_request(&mut self, key: ConnId) {
        if let Some(conn) = self.entries.get(key) {
            self.idle_http.remove(&conn.id);
        }
    }

    /// Those by HTTP that wait for a request, the oldest first.
    pub(in crate::worker) fn awaiting_request(&self) -> impl Iterator<Item = (ConnId, &Conn<S>)> {
        let keys = self.idle_http.values();
        keys.filter_map(|&key| Some((key, self.entries.get(key)?)))
    }

    /// How many publishers have not been taken.
    #[cfg(test)]
    pub(in crate::worker) fn count_publishers(&self) -> usize {
        self.new_publishers.len()
    }

    /// How many wait for a request.
    #[cfg(test)]
    pub(in crate::worker) fn count_awaiting(&self) -> usize {
        self.idle_http.len()
    }
}

impl<S> Index<ConnId> for Connections<S> {
    type Output = Conn<S>;

    fn index(&self, key: ConnId) -> &Conn<S> {
        &self.entries[key]
    }
}

impl<S> IndexMut<ConnId> for Connections<S> {
    fn index_mut(&mut self, key: ConnId) -> &mut Conn<S> {
        &mut self.entries[key]
    }
}
