//! Which pictures of a stream a player may start at, and which it could not decode.
//!
//! ```text
//!                     key frame                no key frame among what is kept
//!   Held -----------------------------> Keyed ---------------------------------> Aging
//!    |                                    ^                                       |
//!    | no key frame for a while           | key frame                 for a while |
//!    +-----------------------------> AsTheyCome <---------------------------------+
//! ```
//!
//! Pictures of a new publisher that come before its first key frame go to nobody. A stream that
//! has no key frames, or marks none, or has them minutes apart, would so be without pictures for
//! ever for those who join; after a while each of its pictures counts as a start. Players go by one
//! track; pictures of another go to nobody before a key frame of that track, or for that while.
//!
//! Of a relay that has done the same all pictures go to everybody: it has held them long enough.

// A length of time; there is no clock here.
use core::time::Duration;

use smallvec::SmallVec;

use crate::limits;
use crate::rtmp::media::{FrameKind, Inspection, TrackSet};
use crate::rtmp::message::Timestamp;

/// See the module text.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    state: State,
    /// The track that players go by, and when it came last.
    track: Option<(u8, Duration)>,
    /// Tracks that players can decode: those of which a key frame has come, or none for a while.
    decodable: TrackSet,
    /// The others of those that players do not go by, and since when their pictures come.
    awaited: SmallVec<[(u8, Duration); 1]>,
    /// When the last picture went to players.
    last: Option<Duration>,
    /// Time of the last picture of the track, and whether it was a key frame.
    newest: Option<(Timestamp, bool)>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No key frame has come; since when pictures come.
    Held(Option<Duration>),
    /// Players may start at the last key frame.
    Keyed,
    /// They may not any more, since then.
    Aging(Duration),
    /// They may start anywhere.
    AsTheyCome,
}

impl Default for State {
    fn default() -> Self {
        Self::Held(None)
    }
}

/// What becomes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// No player gets it.
    Held,
    /// Players that have begun get it.
    Relayed,
    /// They may start there as well, for want of key frames.
    Start,
    /// It is a key frame; they may start there.
    KeyFrame,
}

impl Pictures {
    /// Those of a relay, which has held back what nobody can decode.
    pub(super) fn of_relay() -> Self {
        Self {
            state: State::AsTheyCome,
            decodable: TrackSet::ALL,
            ..Self::default()
        }
    }

    /// What becomes of a coded picture that players see at `time` and that has come at `now`.
    /// `has_start`: the log has a picture that players may start at.
    pub(super) fn judge(
        &mut self,
        seen: &Inspection,
        time: Timestamp,
        has_start: bool,
        now: Duration,
    ) -> Fate {
        let is_main = self.is_of_track(seen, now);
        if seen.sync {
            self.note_key_frame(&seen.tracks);
        }
        let fate = if is_main {
            // Some encoders send each slice of a picture in a message of its own.
            let newest = self.newest.replace((time, seen.sync));
            let is_same = newest.is_some_and(|(before, _)| before == time);
            let is_slice = is_same && newest.is_some_and(|(_, was_key)| was_key);
            if seen.sync {
                self.state = State::Keyed;
                if is_slice {
                    Fate::Relayed
                } else {
                    Fate::KeyFrame
                }
            } else {
                self.advance(has_start, now);
                self.fate_of_inter(seen, is_main, is_same, now)
            }
        } else {
            // It is no start.
            self.fate_of_inter(seen, is_main, true, now)
        };
        if fate != Fate::Held {
            self.last = Some(now);
        }
        fate
    }

    /// A key frame of these tracks has come.
    fn note_key_frame(&mut self, tracks: &TrackSet) {
        self.decodable.insert_all(tracks);
        self.awaited.retain(|(track, _)| !tracks.contains(*track));
    }

    /// Whether a player may start at sound that comes now: no picture has come for a while. It
    /// gets pictures from their next start on.
    pub(super) fn sound_is_start(&self, now: Duration) -> bool {
        self.last
            .is_none_or(|last| now.saturating_sub(last) > limits::PICTURES_GONE)
    }

    /// A picture that is no key frame comes, of the track that players go by.
    fn advance(&mut self, has_start: bool, now: Duration) {
        self.state = match self.state {
            State::Held(None) => State::Held(Some(now)),
            State::Keyed if !has_start => State::Aging(now),
            State::Held(Some(since)) | State::Aging(since) if is_long(since, now) => {
                State::AsTheyCome
            }
            state => state,
        };
    }

    fn fate_of_inter(
        &mut self,
        seen: &Inspection,
        is_main: bool,
        is_same_picture: bool,
        now: Duration,
    ) -> Fate {
        // What is unknown may be a key frame.
        let is_inter = matches!(seen.kind, FrameKind::Inter | FrameKind::Disposable);
        let is_held = match self.state {
            State::Held(_) if is_main => true,
            State::AsTheyCome if is_main => {
                self.decodable.insert(seen.first_track);
                false
            }
            _ => is_inter && !self.is_decodable(seen.first_track, now),
        };
        match self.state {
            _ if is_inter && is_held => Fate::Held,
            State::AsTheyCome if !is_same_picture => Fate::Start,
            _ => Fate::Relayed,
        }
    }

    /// Whether players can decode pictures of a track, as far as can be told.
    fn is_decodable(&mut self, track: u8, now: Duration) -> bool {
        if self.decodable.contains(track) {
            return true;
        }
        let Some((_, since)) = self.awaited.iter().find(|(awaited, _)| *awaited == track) else {
            self.awaited.push((track, now));
            return false;
        };
        if !is_long(*since, now) {
            return false;
        }
        let mut tracks = TrackSet::default();
        tracks.insert(track);
        self.note_key_frame(&tracks);
        true
    }

    /// Whether a message has the track that players go by: the lowest there is.
    fn is_of_track(&mut self, seen: &Inspection, now: Duration) -> bool {
        let is_gone = |at: Duration| now.saturating_sub(at) > limits::PICTURES_GONE;
        match self.track {
            // Cut short, it does not tell which track it is of.
            track if seen.kind == FrameKind::Unknown => track.is_none_or(|(track, _)| track == 0),
            Some((track, at)) if seen.first_track > track && !is_gone(at) => false,
            before => {
                if before.is_none_or(|(track, _)| track != seen.first_track) {
                    self.newest = None;
                }
                self.track = Some((seen.first_track, now));
                true
            }
        }
    }
}

/// Whether there may be no key frame ever, if there has been none since then.
fn is_long(since: Duration, now: Duration) -> bool {
    now.saturating_sub(since) >= limits::PICTURES_WAIT
}
