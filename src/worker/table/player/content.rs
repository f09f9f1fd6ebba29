//! What a player gets of its log: sound and pictures as far as it wants them, pictures only where
//! it can decode them, and headers that it has missed.

use std::sync::Arc;

use super::Player;
use crate::limits::PICTURES_WAIT;
use crate::rtmp::media::TrackSet;
use crate::rtmp::message::{Timestamp, kind};
use crate::rtmp::server::MediaHalf;
use crate::stream::headers::{HeaderTimes, Headers};
use crate::stream::log::{FOR_SERVERS, Frame, MSID, Picture, StreamLog, SyncPoint};
use crate::worker::session::Form;

/// Tracks of which a player has had a key frame since it started.
#[derive(Debug)]
pub(super) struct Decodable {
    /// Where it started.
    time: Timestamp,
    tracks: TrackSet,
}

/// Whether a player receives video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Video {
    On,
    Off,
    /// Wanted: from their next sync point on.
    AtSync,
}

impl Player {
    /// Whether the player takes the log as it is.
    pub(in crate::worker) fn is_plain(&self) -> bool {
        self.msid == MSID
            && self.shift() == 0
            && self.audio
            && self.video == Video::On
            && self.decodable.is_none()
            && self.form != Form::Publish
    }

    /// It starts or goes on at a sync point, with all headers that are in force there.
    pub(super) fn start_at(&mut self, log: &StreamLog, sync: &SyncPoint) {
        if self.video != Video::Off {
            self.video = match sync.without_pictures {
                true => Video::AtSync,
                false => Video::On,
            };
        }
        self.await_key_frames(log, sync.timestamp);
        self.lacks_audio_headers = false;
        self.start_headers = sync.without_pictures.then(|| sync.headers.clone());
    }

    /// Sound or pictures are turned on or off.
    pub(in crate::worker) fn receive(&mut self, half: MediaHalf, on: bool) {
        match half {
            MediaHalf::Audio => {
                let before = std::mem::replace(&mut self.audio, on);
                // Its header may have changed while it was off.
                self.lacks_audio_headers |= self.started && on && !before;
            }
            MediaHalf::Video if !on => self.video = Video::Off,
            MediaHalf::Video if self.video == Video::Off => {
                self.start_headers = None;
                self.video = Video::AtSync;
            }
            MediaHalf::Video => {}
        }
    }

    /// The headers of sound, if the player has turned that on and reads on where it stands. Those
    /// of video are sent where it comes back, at a sync point.
    pub(in crate::worker) fn take_audio_headers(
        &mut self,
        log: &StreamLog,
    ) -> Option<(Headers, HeaderTimes)> {
        // It is paused, or about to start, with all headers.
        let offset = self.needs_from()?;
        if !std::mem::take(&mut self.lacks_audio_headers) {
            return None;
        }
        let next = log.frames_from(offset).next();
        let time = next.map(|(_, frame)| frame.timestamp);
        let time = time.or_else(|| log.last_timestamp()).unwrap_or_default();
        let at = HeaderTimes::all(time.plus(self.shift()));
        Some((log.headers_at(offset).of(kind::AUDIO), at))
    }

    /// The next message of the log begins at `start`. If it is where pictures begin that are waited
    /// for: the headers of video that the player has not been sent.
    pub(in crate::worker) fn begin_pictures(
        &mut self,
        log: &StreamLog,
        (start, frame): (u64, &Frame),
    ) -> Option<Headers> {
        let begins = frame.sync && (frame.kind == kind::VIDEO || !log.has_pictures());
        if self.video != Video::AtSync || !begins {
            return None;
        }
        self.video = Video::On;
        self.await_key_frames(log, frame.timestamp);
        // Those that changed meanwhile were left out with the pictures.
        let headers = log.headers_at(start);
        let known = self.start_headers.take();
        let is_known = known.is_some_and(|known| Arc::ptr_eq(&known, &headers));
        (!is_known).then(|| headers.of(kind::VIDEO))
    }

    /// Whether it gets a message, which is the next in the log.
    pub(in crate::worker) fn wants(&mut self, frame: &Frame) -> bool {
        match frame.kind {
            kind::AUDIO => self.audio,
            kind::VIDEO => self.video == Video::On && self.can_decode(frame),
            FOR_SERVERS => self.is_server(),
            _ => true,
        }
    }

    /// Pictures go to it from `time` on, where it starts: those of each track from the key frame of
    /// that track on.
    fn await_key_frames(&mut self, log: &StreamLog, time: Timestamp) {
        let tracks = TrackSet::default();
        let decodable = || Box::new(Decodable { time, tracks });
        self.decodable = log.tracks().map(|_| decodable());
    }

    /// Whether it can decode a video message, which is the next in the log.
    fn can_decode(&mut self, frame: &Frame) -> bool {
        let Some(decodable) = &mut self.decodable else {
            return true;
        };
        match frame.picture {
            Picture::Keys => decodable.tracks = TrackSet::ALL,
            Picture::Key => decodable.tracks.insert(frame.track),
            // It is where the player starts, for want of key frames.
            Picture::Inter if frame.sync => decodable.tracks.insert(frame.track),
            Picture::Inter => {
                // There may be no key frames in that track.
                let waited = u128::try_from(frame.timestamp.since(decodable.time));
                let is_long = waited.is_ok_and(|waited| waited >= PICTURES_WAIT.as_millis());
                if is_long {
                    self.decodable = None;
                    return true;
                }
                return decodable.tracks.contains(frame.track);
            }
            Picture::Other => {}
        }
        true
    }

    /// Whether it can decode all tracks now.
    pub(in crate::worker) fn note_tracks(&mut self, log: &StreamLog) {
        let is_left = |decodable: &Decodable| {
            let tracks = log.tracks();
            tracks.is_some_and(|tracks| !tracks.without(&decodable.tracks).is_empty())
        };
        self.decodable = self.decodable.take().filter(|its| is_left(its));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::cursor::{Cursor, StartAt};
    use crate::stream::log::LogLimits;
    use crate::worker::ids::ConnId;

    const LIMITS: LogLimits = LogLimits {
        chunk_size: 4_096,
        bytes: 100_000,
        lag_bytes: 100_000,
        window_ms: 60_000,
    };

    /// Pictures stop, and players start at sound; the headers change between its two messages.
    fn log_without_pictures() -> StreamLog {
        let mut log = StreamLog::new(LIMITS);
        for (kind, time) in [
            (kind::VIDEO, 0),
            (kind::AUDIO, 30_000),
            (kind::AUDIO, 40_000),
        ] {
            log.set_headers(Arc::default());
            append(&mut log, kind, time);
        }
        log
    }

    /// Appends a message where players may start; it and where it begins.
    fn append(log: &mut StreamLog, kind: u8, time: u32) -> (u64, Frame) {
        let start = log.end();
        let frame = Frame {
            end: start + 100,
            timestamp: Timestamp(time),
            kind,
            sync: true,
            picture: match kind {
                kind::VIDEO => Picture::Key,
                _ => Picture::Other,
            },
            track: 0,
        };
        log.append_fed(vec![0; 100].into(), &[frame]);
        (start, frame)
    }

    fn player_of(log: &StreamLog) -> Player {
        let cursor = Cursor::new(log, StartAt::NewestSync);
        let mut player = Player::new(ConnId::NONE, MSID, Form::Play, cursor);
        player.start();
        player.settle(log, LIMITS.lag_bytes);
        player
    }

    #[test]
    fn pictures_bring_their_headers_where_those_have_changed() {
        let mut log = log_without_pictures();
        let (mut same, mut changed) = (player_of(&log), player_of(&log));
        assert!(!same.is_plain());
        let (start, sound) = append(&mut log, kind::AUDIO, 50_000);
        assert!(same.begin_pictures(&log, (start, &sound)).is_none());
        let (start, key_frame) = append(&mut log, kind::VIDEO, 51_000);
        assert!(!same.wants(&key_frame));
        assert!(same.begin_pictures(&log, (start, &key_frame)).is_none());
        assert!(same.wants(&key_frame) && same.is_plain());
        log.set_headers(Arc::default());
        let (start, key_frame) = append(&mut log, kind::VIDEO, 52_000);
        let headers = changed.begin_pictures(&log, (start, &key_frame));
        assert!(headers.is_some() && changed.is_plain());
    }

    #[test]
    fn regression_seek_to_sound_replaces_known_headers() {
        let mut log = log_without_pictures();
        let mut player = player_of(&log);
        let sync = player.seek(&log, Timestamp(35_000)).expect("it is kept");
        assert!(sync.without_pictures);
        let (start, key_frame) = append(&mut log, kind::VIDEO, 51_000);
        let headers = player.begin_pictures(&log, (start, &key_frame));
        assert!(headers.is_some(), "it was last sent those before");
    }

    #[test]
    fn sound_turned_on_again_brings_its_headers_once() {
        let log = log_without_pictures();
        let mut player = player_of(&log);
        player.receive(MediaHalf::Audio, true);
        assert!(player.take_audio_headers(&log).is_none(), "it was on");
        player.receive(MediaHalf::Audio, false);
        player.pause();
        player.receive(MediaHalf::Audio, true);
        assert!(player.take_audio_headers(&log).is_none(), "it is paused");
        player.resume(&log, LIMITS.lag_bytes);
        assert!(player.take_audio_headers(&log).is_some());
        assert!(player.take_audio_headers(&log).is_none());
    }
}
