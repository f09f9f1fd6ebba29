//! The rows that a worker copies for an operator's question. It only copies: sorting, adding up and
//! writing down is the work of the thread that asks. A client costs one system call, so that those
//! are told of one page at a time.

use std::time::Duration;

use super::conn::Conn;
use super::contain::Step;
use super::core::Core;
use super::counters::{Audience, count_players, nanoseconds};
use super::ids::ConnId;
use super::line::{Errand, Task};
use super::query::{
    Ask, Capabilities, ClientKey, ClientRow, ClientSort, Owned, Question, Role, State, StreamRow,
    Told, WantedClients, WorkerRow,
};
use super::session::{Form, Session};
use super::table::{Play, Source, Stream};
use crate::net::transport::Transport;
use crate::rtmp::media::{Codec, FourCc};
use crate::stats::{OwnedGauges, StreamGauges};
use crate::stream::flv::Framing;
use crate::stream::headers::Picture;
use crate::stream::intake::Counted;

/// `capsEx` of E-RTMP v2 "Enhancing NetConnection connect Command".
const CAN_RECONNECT: u32 = 1;
const CAN_MULTITRACK: u32 = 2;

impl<S: Transport> Core<S> {
    /// Answers an operator's question.
    pub(super) fn answer_operator(&mut self, ask: Ask) {
        let mut told = None;
        self.contained(ConnId::NONE, Step::Other, |core| {
            told = Some(core.tell(&ask.question));
        });
        ask.reply.send(told);
    }

    pub(super) fn tell(&mut self, question: &Question) -> Told {
        match question {
            Question::Counters => Told::Worker(Box::new(self.worker_row())),
            Question::Metrics => {
                let mut row = self.worker_row();
                row.streams = self.stream_rows();
                Told::Worker(Box::new(row))
            }
            Question::Streams => Told::Streams(self.stream_rows()),
            Question::Stream(name) => {
                let stream = self.streams.find(name);
                let stream = stream.and_then(|index| self.streams.get(index));
                Told::Streams(
                    stream
                        .map(|stream| self.stream_row(stream))
                        .into_iter()
                        .collect(),
                )
            }
            Question::ClientKeys(wanted) => Told::ClientKeys(self.client_keys(wanted)),
            Question::Client(id) => {
                let client = self.conns.iter().find(|(_, conn)| conn.id() == *id);
                let rows = client.map(|(key, conn)| self.client_row(key, conn));
                Told::Clients(rows.into_iter().collect())
            }
            Question::Clients(keys) => {
                let row = |key: &ConnId| Some(self.client_row(*key, self.conns.get(*key)?));
                Told::Clients(keys.iter().filter_map(row).collect())
            }
            Question::Kick(id, ban) => Told::Kicked(self.kick(*id, *ban)),
            Question::CloseBanned(target) => Told::Closed(self.close_banned(target)),
        }
    }

    fn stream_rows(&self) -> Vec<StreamRow> {
        let streams = self.streams.iter();
        streams.map(|(_, stream)| self.stream_row(stream)).collect()
    }

    /// What is known here of a stream.
    fn stream_row(&self, stream: &Stream) -> StreamRow {
        let Audience {
            players,
            by_http: http_players,
            waiting,
        } = count_players(stream);
        let tally = &stream.tally;
        let (skips, skipped_bytes) = tally.skips();
        let last = tally.last_round().filter(|_| players > 0);
        StreamRow {
            name: stream.name.clone(),
            epoch: stream.epoch,
            owned: is_told_here(stream).then(|| self.owned(stream)),
            gauges: StreamGauges {
                bytes_out: tally.bytes_out(),
                out_bps: tally.rates().1,
                players,
                waiting,
                http_players,
                pushes: stream.targets() as u64,
                skips,
                skipped_bytes,
            },
            delay: last.map(|last| self.now.saturating_duration_since(last)),
        }
    }

    pub(super) fn owned(&self, stream: &Stream) -> Owned {
        let intake = &stream.intake;
        // Those who wait for the next life of it have nothing of the last.
        let is_over = stream.source() == Source::Nobody;
        let counted = if is_over {
            Counted::default()
        } else {
            *intake.counted()
        };
        let headers = stream.log.headers_now();
        let needs_header = intake.video().is_some_and(needs_sequence_header);
        let has_pictures = counted.video_frames > 0 && needs_header;
        Owned {
            state: state_of(stream),
            publisher: self.publisher_of(stream),
            uptime: self.now.saturating_duration_since(stream.tally.began()),
            video: intake.video().filter(|_| !is_over),
            audio: intake.audio().filter(|_| !is_over),
            video_header: has_pictures
                .then(|| headers.is_some_and(|headers| headers.has_video_sequence())),
            picture: headers.map_or_else(Picture::default, |headers| headers.picture()),
            gauges: OwnedGauges {
                bytes_in: stream.log.end(),
                in_bps: stream.tally.rates().0,
                messages_in: counted.messages,
                video_frames: counted.video_frames,
                audio_frames: counted.audio_frames,
                key_frames: counted.key_frames,
                gaps: stream.tally.gaps(),
                feeds: stream.feeds.len() as u64,
            },
            key_interval_ms: counted.key_interval_ms,
        }
    }

    fn client_row(&self, key: ConnId, conn: &Conn<S>) -> ClientRow {
        let lag = self.lag(key);
        let path = conn.socket.path();
        let published = self.streams.publications(key).iter();
        let intakes = published.map(|its| &self.streams[its.stream].intake);
        let streams = self.streams.used_by(key);
        let streams = streams.map(|index| self.streams[index].name.clone());
        let uptime = self.now.saturating_duration_since(conn.accepted_at());
        let (software, capabilities) = about(&conn.session);
        ClientRow {
            id: conn.id(),
            address: conn.peer(),
            worker: self.worker.index(),
            protocol: protocol(conn, self.streams.plays(key)),
            role: self.role_of(key),
            streams: streams.collect(),
            uptime_seconds: milliseconds(uptime).round() / 1e3,
            bytes_in: conn.bytes_in(),
            bytes_out: conn.bytes_out(),
            lag_bytes: lag.map(|(bytes, _)| bytes),
            lag_ms: lag.map(|(_, ms)| ms),
            rtt_ms: path.map(|path| milliseconds(path.rtt)),
            retransmits: path.map(|path| path.retransmits),
            skips: conn.skips(),
            skipped_bytes: conn.skipped_bytes(),
            software,
            video_codec: intakes.clone().find_map(|its| Some(its.video()?.four_cc())),
            audio_codec: intakes.clone().find_map(|its| Some(its.audio()?.four_cc())),
            capabilities,
        }
    }

    /// What a connection is for now.
    fn role_of(&self, key: ConnId) -> Role {
        let plays = self.streams.plays(key);
        match self.conns[key].errand().map(Errand::task) {
            Some(Task::Pull) => Role::Pull,
            Some(Task::Push(_)) => Role::Push,
            None if !self.streams.publications(key).is_empty() => Role::Publisher,
            None if plays.is_empty() => Role::None,
            None if plays.iter().any(|play| play.wait_until.is_none()) => Role::Player,
            None => Role::Waiting,
        }
    }

    /// How far a connection that plays is behind, in bytes and milliseconds of its stream.
    fn lag(&self, key: ConnId) -> Option<(u64, u32)> {
        let mut plays = self.streams.plays(key).iter();
        let play = plays.find(|play| play.wait_until.is_none())?;
        let stream = self.streams.get(play.stream)?;
        let player = stream.players.get(play.slot)?;
        let at = player.needs_from()?;
        let log = player.log(&stream.log, &stream.flv);
        let bytes = log.visible().saturating_sub(at);
        let next = log.frames_from(at).next();
        let ms = next.zip(log.last_timestamp());
        let ms = ms.map(|((_, frame), last)| last.since(frame.timestamp));
        let ms = ms.and_then(|ms| u32::try_from(ms).ok());
        Some((bytes, ms.unwrap_or(0)))
    }

    /// The id of the client that publishes a stream here or brings it.
    fn publisher_of(&self, stream: &Stream) -> Option<u64> {
        match stream.source() {
            Source::Publisher(key) => self.conns.get(key).map(|conn| conn.id()),
            _ => None,
        }
    }

    fn client_keys(&self, wanted: &WantedClients) -> Vec<ClientKey> {
        let stream = match &wanted.stream {
            None => None,
            Some(name) => match self.streams.find(name) {
                Some(index) => Some(index),
                None => return Vec::new(),
            },
        };
        let uses = |key, index| self.streams.used_by(key).any(|its| its == index);
        let found = self.conns.iter().filter(|(key, conn)| {
            !conn.is_closing()
                && stream.is_none_or(|index| uses(*key, index))
                && wanted.role.is_none_or(|role| self.role_of(*key) == role)
                && is_called(conn, wanted.text.as_deref())
        });
        let keys = found.map(|(key, conn)| ClientKey {
            id: conn.id(),
            value: self.client_value(key, conn, wanted.sort),
            conn: key,
        });
        keys.collect()
    }

    fn client_value(&self, key: ConnId, conn: &Conn<S>, sort: ClientSort) -> u64 {
        match sort {
            ClientSort::Id => 0,
            ClientSort::Role => self.role_of(key) as u64,
            ClientSort::Uptime => {
                nanoseconds(self.now.saturating_duration_since(conn.accepted_at()))
            }
            ClientSort::BytesIn => conn.bytes_in(),
            ClientSort::BytesOut => conn.bytes_out(),
            ClientSort::Lag => self.lag(key).map_or(0, |(_, ms)| ms.into()),
            ClientSort::LagBytes => self.lag(key).map_or(0, |(bytes, _)| bytes),
            ClientSort::Skips => conn.skips(),
            ClientSort::SkippedBytes => conn.skipped_bytes(),
        }
    }

    fn worker_row(&mut self) -> WorkerRow {
        self.bring_up_gauges();
        WorkerRow {
            gauges: self.gauges,
            closes: self.closes.iter().collect(),
            refusals: self.refusals.iter().collect(),
            targets: self.targets.as_slice().to_vec(),
            streams: Vec::new(),
        }
    }
}

/// Whether this worker tells where the stream stands: it comes in here, or nowhere.
fn is_told_here(stream: &Stream) -> bool {
    stream.is_owned() || stream.source() == Source::Nobody
}

/// Whether decoders of a video codec need a sequence header: the parameter sets of AVC, HEVC and
/// VVC. E-RTMP v2, Enhanced Video.
fn needs_sequence_header(codec: Codec) -> bool {
    matches!(codec, Codec::Avc | Codec::Hevc | Codec::Vvc)
}

fn state_of(stream: &Stream) -> State {
    match stream.source() {
        Source::Publisher(_) | Source::Fed { .. } => State::Live,
        Source::Away { .. } => State::Away,
        Source::Pulling => State::Pulling,
        Source::Nobody => State::Waiting,
    }
}

/// Whether `name` has `text`, which is in lower case, in it.
fn has_text(name: &str, text: Option<&str>) -> bool {
    text.is_none_or(|text| name.to_lowercase().contains(text))
}

/// Whether the address of a connection or what it calls itself has `text` in it.
fn is_called<S>(conn: &Conn<S>, text: Option<&str>) -> bool {
    text.is_none()
        || has_text(&conn.peer().to_string(), text)
        || has_text(&about(&conn.session).0, text)
}

/// What a connection speaks.
fn protocol<S: Transport>(conn: &Conn<S>, plays: &[Play]) -> &'static str {
    match conn.session.form() {
        Form::Flv(_) if plays.is_empty() => "http",
        Form::Flv(Framing::Plain) => "http-flv",
        Form::Flv(Framing::WebSocket) => "ws-flv",
        Form::Play | Form::Publish if conn.socket.is_encrypted() => "rtmps",
        Form::Play | Form::Publish => "rtmp",
    }
}

/// What a client calls itself, and what it can do of E-RTMP.
fn about(session: &Session) -> (String, Option<Capabilities>) {
    let server = match session {
        Session::Server(server) => server,
        Session::Http(http) => return (http.user_agent().to_owned(), None),
        Session::Client(_) => return (String::new(), None),
    };
    let client = server.client();
    if server.app().is_none() {
        return (String::new(), None);
    }
    let name = |four_cc: &FourCc| four_cc.to_string().trim_end().to_owned();
    let capabilities = Capabilities {
        e_rtmp: client.caps_ex != 0 || !client.four_cc.is_empty(),
        reconnect: client.caps_ex & CAN_RECONNECT != 0,
        multitrack: client.caps_ex & CAN_MULTITRACK != 0,
        four_cc: client.four_cc.iter().map(name).collect(),
    };
    (client.flash_ver.clone(), Some(capabilities))
}

/// Milliseconds to three decimals: a quotient of whole numbers is written with no more.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_milliseconds_have_three_decimals_at_most() {
        for micros in 0..20_000 {
            let text = milliseconds(Duration::from_micros(micros)).to_string();
            let decimals = text.split_once('.').map_or(0, |(_, end)| end.len());
            assert!(decimals <= 3, "{text}");
        }
    }
}
