//! The streams of one worker, and which connection publishes or plays which of them.
//!
//! ```text
//!   connection --- Publication { msid, stream } ---> stream.source: Publisher(connection)
//!   connection --- Play { msid, stream, slot } ----> stream.players[slot].conn
//! ```
//!
//! Both ends of such a link are here and nowhere else, and each function changes both: between two
//! calls they agree, whatever happens there. What follows from a change, such as telling the client
//! or the registry, is for the caller.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::{Player, Source, Stream};
use crate::rtmp::message::MessageStreamId;
use crate::stream::log::LogLimits;
use crate::worker::collections::Table;
use crate::worker::ids::{ConnId, PlayerSlot, StreamId};

/// A message stream that publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) struct Publication {
    pub(in crate::worker) msid: MessageStreamId,
    pub(in crate::worker) stream: StreamId,
}

/// A message stream that plays, or waits for its stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct Play {
    pub(in crate::worker) msid: MessageStreamId,
    pub(in crate::worker) stream: StreamId,
    /// Index among the stream's players.
    pub(in crate::worker) slot: PlayerSlot,
    /// play2: this is where the player goes; it still plays from another stream.
    pub(in crate::worker) switching: bool,
    /// Give up at this time when the stream has not begun; None once it has.
    pub(in crate::worker) wait_until: Option<Instant>,
}

/// What a connection publishes and plays.
#[derive(Debug)]
struct Roles {
    /// Whose they are: a slot is used again.
    conn: ConnId,
    plays: Vec<Play>,
    publications: SmallVec<[Publication; 1]>,
}

impl Roles {
    fn of(conn: ConnId) -> Self {
        Self {
            conn,
            plays: Vec::new(),
            publications: SmallVec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.plays.is_empty() && self.publications.is_empty()
    }
}

/// See the module text.
#[derive(Debug, Default)]
pub(in crate::worker) struct Streams {
    entries: Table<StreamId, Stream>,
    by_name: HashMap<Arc<str>, StreamId>,
    /// By the slots of connections.
    roles: Vec<Roles>,
    players: usize,
    publishers: usize,
    /// Those with something new, for players and for other workers.
    dirty: Vec<StreamId>,
    /// Those among them whose logs have grown too long to wait for the next round.
    overfull: Vec<StreamId>,
}

/// Streams.
impl Streams {
    /// The stream called `name`, made if it is not known here.
    pub(in crate::worker) fn open(
        &mut self,
        name: &Arc<str>,
        limits: LogLimits,
        now: Instant,
    ) -> StreamId {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let index = self.entries.insert(Stream::new(name.clone(), limits, now));
        self.by_name.insert(name.clone(), index);
        index
    }

    /// The stream called `name`.
    pub(in crate::worker) fn find(&self, name: &str) -> Option<StreamId> {
        self.by_name.get(name).copied()
    }

    /// The stream is called `name` from now on, which no other is called; what it was called.
    pub(in crate::worker) fn rename(&mut self, index: StreamId, name: Arc<str>) -> Arc<str> {
        let before = std::mem::replace(&mut self[index].name, name.clone());
        self.by_name.remove(&before);
        self.by_name.insert(name, index);
        before
    }

    /// Takes out a stream that nobody publishes or plays.
    pub(in crate::worker) fn remove(&mut self, index: StreamId) -> Option<Stream> {
        let stream = self.entries.remove(index)?;
        debug_assert!(stream.players.is_empty() && stream.publisher().is_none());
        self.by_name.remove(&stream.name);
        Some(stream)
    }

    pub(in crate::worker) fn get(&self, index: StreamId) -> Option<&Stream> {
        self.entries.get(index)
    }

    pub(in crate::worker) fn get_mut(&mut self, index: StreamId) -> Option<&mut Stream> {
        self.entries.get_mut(index)
    }

    pub(in crate::worker) fn contains(&self, index: StreamId) -> bool {
        self.entries.contains(index)
    }

    pub(in crate::worker) fn iter(&self) -> impl DoubleEndedIterator<Item = (StreamId, &Stream)> {
        self.entries.iter()
    }

    pub(in crate::worker) fn iter_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &mut Stream)> {
        self.entries.iter_mut()
    }

    pub(in crate::worker) fn keys(&self) -> Vec<StreamId> {
        self.entries.keys()
    }

    pub(in crate::worker) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many names there are: as many as streams.
    #[cfg(test)]
    pub(in crate::worker) fn names(&self) -> usize {
        self.by_name.len()
    }
}

/// Those with something new.
impl Streams {
    /// The stream has something new.
    pub(in crate::worker) fn mark_dirty(&mut self, index: StreamId) {
        let Some(stream) = self.entries.get_mut(index) else {
            return;
        };
        if !stream.dirty {
            stream.dirty = true;
            self.dirty.push(index);
        } else if stream.log.is_overfull() && self.overfull.last() != Some(&index) {
            self.overfull.push(index);
        }
    }

    pub(in crate::worker) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The stream at a place of the list of those with something new.
    pub(in crate::worker) fn dirty_at(&self, position: usize) -> Option<StreamId> {
        self.dirty.get(position).copied()
    }

    /// Those with something new, overfull or not; those that are marked from now on are for the
    /// next round. The list goes back by [`keep_dirty`](Self::keep_dirty).
    pub(in crate::worker) fn take_dirty(&mut self) -> Vec<StreamId> {
        self.overfull.clear();
        std::mem::take(&mut self.dirty)
    }

    /// Keeps a list that has been gone through for its memory.
    pub(in crate::worker) fn keep_dirty(&mut self, mut list: Vec<StreamId>) {
        list.clear();
        list.append(&mut self.dirty);
        self.dirty = list;
    }

    /// What is new of a stream that was on the list is written now; false when it is gone.
    pub(in crate::worker) fn begin_round(&mut self, index: StreamId) -> bool {
        let stream = self.entries.get_mut(index);
        stream.map(|stream| stream.dirty = false).is_some()
    }

    pub(in crate::worker) fn has_overfull(&self) -> bool {
        !self.overfull.is_empty()
    }

    /// Those whose logs have grown too long to wait for the next round.
    pub(in crate::worker) fn take_overfull(&mut self) -> Vec<StreamId> {
        std::mem::take(&mut self.overfull)
    }

    /// How many have something new.
    #[cfg(test)]
    pub(in crate::worker) fn dirty(&self) -> &[StreamId] {
        &self.dirty
    }
}

/// Players.
impl Streams {
    /// How many there are, those that wait included.
    pub(in crate::worker) fn players(&self) -> usize {
        self.players
    }

    /// What a connection plays, or waits for.
    pub(in crate::worker) fn plays(&self, key: ConnId) -> &[Play] {
        self.roles_of(key).map_or(&[], |roles| &roles.plays)
    }

    /// The play of a connection on `msid`; while that switches, the one of the stream it still
    /// plays.
    pub(in crate::worker) fn play_on(&self, key: ConnId, msid: MessageStreamId) -> Option<Play> {
        let mut plays = self.plays(key).iter();
        plays
            .find(|play| play.msid == msid && !play.switching)
            .copied()
    }

    /// The play of a connection that is to go over to another stream on `msid`.
    pub(in crate::worker) fn switch_on(&self, key: ConnId, msid: MessageStreamId) -> Option<Play> {
        let mut plays = self.plays(key).iter();
        plays
            .find(|play| play.msid == msid && play.switching)
            .copied()
    }

    /// The play of the player at `slot`.
    pub(in crate::worker) fn play_of(&mut self, index: StreamId, slot: PlayerSlot) -> &mut Play {
        let key = self[index].players[slot].conn();
        let mut plays = self.roles_mut(key).plays.iter_mut();
        plays
            .find(|play| play.stream == index && play.slot == slot)
            .expect("each player is a play of its connection")
    }

    /// Adds a player to a stream.
    pub(in crate::worker) fn add_player(
        &mut self,
        index: StreamId,
        player: Player,
        switching: bool,
        wait_until: Option<Instant>,
    ) -> PlayerSlot {
        let (key, msid) = (player.conn(), player.msid());
        let slot = self[index].players.push(player);
        self.players += 1;
        self.roles_mut(key).plays.push(Play {
            msid,
            stream: index,
            slot,
            switching,
            wait_until,
        });
        slot
    }

    /// Takes a player out of its stream, where the last one takes its place.
    pub(in crate::worker) fn remove_player(
        &mut self,
        index: StreamId,
        slot: PlayerSlot,
    ) -> (Play, Player) {
        let players = &mut self[index].players;
        let player = players.swap_remove(slot);
        let last = PlayerSlot::new(players.len());
        let moved = players.get(slot).map(Player::conn);
        self.players -= 1;
        let plays = &mut self.roles_mut(player.conn()).plays;
        let at = plays
            .iter()
            .position(|play| play.stream == index && play.slot == slot);
        let play = plays.remove(at.expect("each player is a play of its connection"));
        if let Some(conn) = moved {
            let mut plays = self.roles_mut(conn).plays.iter_mut();
            if let Some(play) = plays.find(|play| play.stream == index && play.slot == last) {
                play.slot = slot;
            }
        }
        (play, player)
    }
}

/// Publishers.
impl Streams {
    /// How many streams have their publisher here.
    pub(in crate::worker) fn publishers(&self) -> usize {
        self.publishers
    }

    /// What a connection publishes.
    pub(in crate::worker) fn publications(&self, key: ConnId) -> &[Publication] {
        self.roles_of(key).map_or(&[], |roles| &roles.publications)
    }

    /// The stream of one of its publications, counted from 0; `None` behind the last.
    pub(in crate::worker) fn publication_at(&self, key: ConnId, at: usize) -> Option<StreamId> {
        Some(self.publications(key).get(at)?.stream)
    }

    /// The stream that a connection publishes on `msid`.
    pub(in crate::worker) fn published_on(
        &self,
        key: ConnId,
        msid: MessageStreamId,
    ) -> Option<StreamId> {
        let mut publications = self.publications(key).iter();
        Some(publications.find(|its| its.msid == msid)?.stream)
    }

    /// The publication of a stream by a connection.
    pub(in crate::worker) fn publication_of(
        &self,
        key: ConnId,
        stream: StreamId,
    ) -> Option<Publication> {
        let mut publications = self.publications(key).iter();
        publications.find(|its| its.stream == stream).copied()
    }

    /// The streams that a connection publishes and plays.
    pub(in crate::worker) fn used_by(&self, key: ConnId) -> impl Iterator<Item = StreamId> {
        let published = self.publications(key).iter().map(|its| its.stream);
        let played = self.plays(key).iter().map(|play| play.stream);
        published.chain(played)
    }

    /// Whether a connection publishes or plays, or waits to play.
    pub(in crate::worker) fn has_role(&self, key: ConnId) -> bool {
        self.roles_of(key).is_some_and(|roles| !roles.is_empty())
    }

    /// Whether a connection has a role on another message stream than `msid`.
    pub(in crate::worker) fn has_other_role(&self, key: ConnId, msid: MessageStreamId) -> bool {
        let mut publications = self.publications(key).iter();
        publications.any(|its| its.msid != msid)
            || self.plays(key).iter().any(|play| play.msid != msid)
    }

    /// Media of a connection on `msid` go into a stream from now on. That has it as its publisher
    /// when [`begin`](Self::begin) is called.
    pub(in crate::worker) fn publish(
        &mut self,
        key: ConnId,
        msid: MessageStreamId,
        stream: StreamId,
    ) {
        let publication = Publication { msid, stream };
        self.roles_mut(key).publications.push(publication);
    }

    /// The connection that publishes to a stream is its publisher.
    pub(in crate::worker) fn begin(&mut self, index: StreamId, key: ConnId) {
        debug_assert!(self.publication_of(key, index).is_some());
        self.set_source(index, Source::Publisher(key));
    }

    /// A connection publishes a stream no more. Whether it was its publisher; the stream comes
    /// from `then` from now on if so.
    pub(in crate::worker) fn unpublish(
        &mut self,
        key: ConnId,
        index: StreamId,
        then: Source,
    ) -> bool {
        let was_publisher = self[index].publisher() == Some(key);
        if was_publisher {
            self.set_source(index, then);
        } else {
            self.drop_publication(key, index);
        }
        was_publisher
    }

    /// The stream comes from elsewhere, or from nowhere. Whoever was its publisher publishes no
    /// more.
    pub(in crate::worker) fn set_source(&mut self, index: StreamId, source: Source) {
        let before = std::mem::replace(&mut self[index].source, source);
        if let Source::Publisher(key) = before {
            self.publishers -= 1;
            if source != before {
                self.drop_publication(key, index);
            }
        }
        if let Source::Publisher(_) = source {
            self.publishers += 1;
        }
    }

    /// The publisher of a stream, if it is away, is waited for until `at`; whether it is.
    pub(in crate::worker) fn await_until(&mut self, index: StreamId, at: Instant) -> bool {
        match &mut self[index].source {
            Source::Away { until, .. } => *until = at,
            _ => return false,
        }
        true
    }

    /// The publisher of a stream, if it is away, has ended it: nobody begins to play it until it is
    /// back. Whether that is new.
    pub(in crate::worker) fn set_ended(&mut self, index: StreamId) -> bool {
        match &mut self[index].source {
            Source::Away { ended, .. } => !std::mem::replace(ended, true),
            _ => false,
        }
    }

    fn drop_publication(&mut self, key: ConnId, index: StreamId) {
        let publications = &mut self.roles_mut(key).publications;
        publications.retain(|its| its.stream != index);
    }

    fn roles_of(&self, key: ConnId) -> Option<&Roles> {
        let roles = self.roles.get(key.slot() as usize)?;
        (roles.conn == key).then_some(roles)
    }

    /// The roles of a connection that is there.
    fn roles_mut(&mut self, key: ConnId) -> &mut Roles {
        let slot = key.slot() as usize;
        while self.roles.len() <= slot {
            self.roles.push(Roles::of(ConnId::NONE));
        }
        let roles = &mut self.roles[slot];
        if roles.conn != key {
            debug_assert!(roles.is_empty(), "a connection has gone that had roles");
            *roles = Roles::of(key);
        }
        roles
    }
}

impl std::ops::Index<StreamId> for Streams {
    type Output = Stream;

    fn index(&self, index: StreamId) -> &Stream {
        &self.entries[index]
    }
}

impl std::ops::IndexMut<StreamId> for Streams {
    fn index_mut(&mut self, index: StreamId) -> &mut Stream {
        &mut self.entries[index]
    }
}
