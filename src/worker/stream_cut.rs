//! The end of a stream for everybody who plays it.

use super::close_reason::CloseReason;
use super::core::Core;
use super::ids::{PlayerSlot, StreamId};
use super::mail::Mail;
use super::table::{Play, Source};
use crate::net::transport::Transport;
use crate::stream::cursor::StartAt;

impl<S: Transport> Core<S> {
    /// The same at once, without what they are owed of it.
    pub(super) fn cut_stream(&mut self, index: StreamId) {
        // Once this worker has told its players that the relay stops, the others tell theirs.
        if !self.draining.is_done() {
            self.tell_feeds(index, |name, epoch| Mail::End { name, epoch });
        }
        let name = self.streams[index].name.clone();
        self.shared.registry.release(&name, self.worker);
        // It may have a publisher: it is fetched, and nobody wants it any more; or its log is
        // broken.
        self.streams.set_source(index, Source::Nobody);
        self.end_feeds(index);
        self.forget_pull(index);
        self.forget_pushes(index);
        self.end_players(index);
    }

    /// Tells the players of a stream that it is over and closes them; forgets the stream unless
    /// some still wait for it.
    pub(super) fn end_players(&mut self, index: StreamId) {
        // The stream must outlive its last player's removal: it is forgotten there.
        while let Some(slot) = self.streams.get(index).and_then(|stream| {
            let mut slots = stream.players.indices().rev();
            slots.find(|slot| stream.players[*slot].is_started())
        }) {
            self.end_player(index, slot);
        }
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        if stream.players.is_empty() {
            self.forget_stream(index);
            return;
        }
        // Those that wait start anew with whoever publishes next.
        stream.log = crate::stream::log::StreamLog::new(self.settings.log_limits());
        stream.flv.recycle(&mut self.blocks);
        for player in stream.players.iter_mut() {
            player.place(&stream.log, StartAt::NewestSync);
        }
    }

    fn end_player(&mut self, index: StreamId, slot: PlayerSlot) {
        let key = self.streams[index].players[slot].conn();
        let conn = &mut self.conns[key];
        let play = *self.streams.play_of(index, slot);
        let msid = play.msid;
        if play.switching {
            let why = "the stream to switch to has ended";
            conn.session
                .send_status(msid, crate::rtmp::command::Status::PlayFailed, why);
        }
        // One that is about to go over to another stream still does, and its time goes on.
        let is_other = |other: &&Play| other.msid == msid && other.stream != index;
        match self.streams.plays(key).iter().find(is_other).copied() {
            Some(other) => {
                if let Some(last) = self.streams[index].last_times_of(slot) {
                    self.streams[other.stream].players[other.slot].follow(last);
                }
            }
            None => conn.session.end_play(msid, "the stream is over"),
        }
        conn.set_idle(self.now);
        self.remove_player(index, slot);
        if self.streams.has_role(key) {
            self.wake(key);
        } else {
            self.close(key, &CloseReason::StreamEnded);
        }
    }
}
