//! What others want to know of the workers, and kicks and bans. Any worker can be asked a
//! [`Question`]; it asks all the others by mail, itself without, and has the answer when all have
//! told their part or [`limits::ANSWER_WAIT`] is over.
//!
//! ```text
//!   ask --> Inquiry to all --> told by all --+--> answers
//!              ^                             |
//!              +--- the rows of a page, once it is known which those are
//! ```
//!
//! Lists are asked for in two steps, first what they are sorted by (see listing.rs), so that only
//! what is shown is looked at closely and each client on a page costs one system call. Nothing here
//! is on the data path: a worker that nobody asks does nothing for it but count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

use super::bans;
use super::conn::{CloseReason, Conn};
use super::contain::Step;
use super::core::Core;
use super::ids::{ConnId, StreamId, WorkerId};
use super::line::Task;
use super::listing::Listing;
use super::mail::Mail;
use super::session::Session;
use super::table::{Form, Play, Player, Source, Stream, log_for};
use super::timers::{Timer, TimerId};
use crate::edge::rule;
use crate::limits;
use crate::net::transport::Transport;
use crate::report::{
    Answer, BanTarget, Capabilities, ClientKey, ClientReport, ClientSort, Inquiry, NewBan, Owned,
    Picture, Question, Role, State, StreamKey, StreamReport, StreamSort, TargetReport, Told,
    WantedClients, WantedStreams, WorkerReport,
};
use crate::rtmp::command::Status;
use crate::rtmp::media::FourCc;
use crate::stats::{Gauges, TargetGauges};
use crate::stream::flv::Framing;
use crate::stream::intake::Counted;

/// Whose connection it is that nobody is served by; see [`Core::contained`].
const NOBODY: ConnId = ConnId::NONE;

/// `capsEx` of E-RTMP v2 "Enhancing NetConnection connect Command".
const CAN_RECONNECT: u32 = 1;
const CAN_MULTITRACK: u32 = 2;

/// The questions of one worker.
#[derive(Debug, Default)]
pub(super) struct Questions {
    last_id: u64,
    open: Vec<Open>,
    answered: Vec<(u64, Answer)>,
}

/// A question that waits for workers.
#[derive(Debug)]
struct Open {
    id: u64,
    /// What the letters of this step say; the answers to another step do not count.
    letter: u64,
    /// The list, while its rows are not known.
    listing: Option<Listing>,
    /// What has come together so far.
    answer: Answer,
    until: Instant,
    /// Where its timer is, see timers.rs.
    armed: Option<TimerId>,
}

impl Questions {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The id of a question that needs no other worker.
    fn answer_at_once(&mut self, answer: Answer) -> u64 {
        let id = self.next_id();
        self.answered.push((id, answer));
        id
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many of them have a timer.
    #[cfg(test)]
    pub(super) fn armed(&self) -> usize {
        let armed = self.open.iter().filter(|open| open.armed.is_some());
        armed.count()
    }
}

impl<S: Transport> Core<S> {
    /// Asks all workers. The id under which the answer is in [`answers`](Self::answers), in this
    /// turn or a later one; None when too many questions are open.
    pub fn ask(&mut self, question: Question) -> Option<u64> {
        if self.questions.open.len() >= limits::QUESTIONS_MAX {
            return None;
        }
        let (inquiry, listing) = match question {
            Question::Streams { wanted, page } => {
                let listing = Listing {
                    page,
                    state: wanted.state,
                    by_key: wanted.sort == StreamSort::Name,
                };
                (Inquiry::StreamKeys(wanted), Some(listing))
            }
            Question::Stream(name) => (Inquiry::Streams([name].into()), None),
            Question::Clients { wanted, page } => {
                let listing = Listing {
                    page,
                    state: None,
                    by_key: wanted.sort == ClientSort::Id,
                };
                (Inquiry::ClientKeys(wanted), Some(listing))
            }
            Question::Client(id) => (Inquiry::Clients([id].into()), None),
            Question::Kick { id, ban } => (Inquiry::Kick(id, ban), None),
            Question::Ban(ban) => match self.ban(&ban) {
                true => (Inquiry::CloseBanned(ban.target), None),
                false => return Some(self.refuse_question()),
            },
            Question::Lift(target) => return Some(self.lift(&target)),
            Question::Bans => return Some(self.list_bans()),
            Question::Workers => (Inquiry::Worker, None),
            Question::Metrics => (Inquiry::Metrics, None),
        };
        let id = self.questions.next_id();
        let until = self.now + limits::ANSWER_WAIT;
        let mut armed = None;
        self.timers.arm(&mut armed, until, Timer::Question(id));
        self.questions.open.push(Open {
            id,
            letter: id,
            listing,
            answer: Answer::default(),
            until,
            armed,
        });
        self.inquire(id, inquiry);
        Some(id)
    }

    /// The answers that have come, each with the id of its question. Whoever asked takes them
    /// out; one that nobody waits for any more is dropped.
    pub fn answers(&mut self) -> &mut Vec<(u64, Answer)> {
        &mut self.questions.answered
    }

    /// Puts a ban in force for all workers; false when there are too many.
    fn ban(&self, ban: &NewBan) -> bool {
        let is_added = self.shared.bans.add(ban, self.uptime());
        if is_added {
            let NewBan {
                target,
                time,
                reason,
            } = ban;
            let time = time.map_or("until lifted".to_owned(), |time| {
                format!("{} s", time.as_secs())
            });
            info!("banned {} for=\"{time}\" reason={reason:?}", label(target));
        }
        is_added
    }

    fn lift(&mut self, target: &BanTarget) -> u64 {
        if !self.shared.bans.lift(target, self.uptime()) {
            return self.refuse_question();
        }
        info!("ban lifted {}", label(target));
        self.list_bans()
    }

    /// The id of a question that is answered with the bans in force.
    fn list_bans(&mut self) -> u64 {
        let bans = self.shared.bans.list(self.uptime());
        self.questions.answer_at_once(Answer {
            total: bans.len(),
            bans,
            ..Answer::default()
        })
    }

    /// The id of a question that is answered with a refusal.
    fn refuse_question(&mut self) -> u64 {
        self.questions.answer_at_once(Answer {
            refused: true,
            ..Answer::default()
        })
    }

    /// Asks everybody for the open question `id`.
    fn inquire(&mut self, id: u64, inquiry: Inquiry) {
        let workers = self.shared.mailboxes.indices();
        let Some(open) = self.questions.open.iter_mut().find(|open| open.id == id) else {
            return;
        };
        open.answer.told = self.shared.mailboxes.iter().map(|_| None).collect();
        let letter = open.letter;
        for worker in workers.filter(|worker| *worker != self.worker) {
            let mail = Mail::Ask {
                id: letter,
                from: self.worker,
                inquiry: Box::new(inquiry.clone()),
            };
            self.outbound.push((worker, mail));
        }
        let mut told = None;
        self.contained(NOBODY, Step::Other, |core| told = Some(core.tell(&inquiry)));
        if let Some(told) = told {
            self.heard(letter, self.worker, told);
        }
    }

    /// Worker `from` asks.
    pub(super) fn asked(&mut self, id: u64, from: WorkerId, inquiry: Inquiry) {
        let mut told = None;
        self.contained(NOBODY, Step::Other, |core| told = Some(core.tell(&inquiry)));
        if let Some(told) = told {
            let (worker, told) = (self.worker, Box::new(told));
            self.outbound.push((from, Mail::Told { id, worker, told }));
        }
    }

    /// Worker `worker` answers.
    pub(super) fn heard(&mut self, letter: u64, worker: WorkerId, told: Told) {
        let mut open = self.questions.open.iter_mut();
        let Some(open) = open.find(|open| open.letter == letter) else {
            return;
        };
        if let Some(place) = open.answer.told.get_mut(worker.index()) {
            *place = Some(told);
        }
        if open.answer.told.iter().all(Option::is_some) {
            let id = open.id;
            self.go_on_asking(id);
        }
    }

    /// The time of a question is over: it is answered with what there is.
    pub(super) fn give_up_asking(&mut self, id: u64) {
        let mut open = self.questions.open.iter_mut();
        if let Some(open) = open.find(|open| open.id == id) {
            open.armed = None;
            self.go_on_asking(id);
        }
    }

    /// All that will be told is there: the rows of a page are asked for, or it is the answer.
    fn go_on_asking(&mut self, id: u64) {
        let Some(at) = self.questions.open.iter().position(|open| open.id == id) else {
            return;
        };
        let open = &mut self.questions.open[at];
        let Some(listing) = open.listing.take().filter(|_| open.until > self.now) else {
            let mut open = self.questions.open.swap_remove(at);
            self.timers.disarm(&mut open.armed);
            self.questions.answered.push((id, open.answer));
            return;
        };
        let inquiry = rows(&mut open.answer, &listing);
        let letter = self.questions.next_id();
        self.questions.open[at].letter = letter;
        self.inquire(id, inquiry);
    }

    /// What this worker has to say.
    fn tell(&mut self, inquiry: &Inquiry) -> Told {
        match inquiry {
            Inquiry::StreamKeys(wanted) => Told::StreamKeys(self.stream_keys(wanted)),
            Inquiry::Streams(names) => {
                let indexes = names.iter().filter_map(|name| self.streams.find(name));
                let streams = indexes.filter_map(|index| self.streams.get(index));
                Told::Streams(
                    streams
                        .map(|stream| self.stream_report(stream, true))
                        .collect(),
                )
            }
            Inquiry::ClientKeys(wanted) => Told::ClientKeys(self.client_keys(wanted)),
            Inquiry::Clients(ids) => {
                let is_asked = |conn: &Conn<S>| ids.binary_search(&conn.id).is_ok();
                let conns = self.clients().filter(|(_, conn)| is_asked(conn));
                Told::Clients(
                    conns
                        .map(|(key, conn)| self.client_report(key, conn))
                        .collect(),
                )
            }
            Inquiry::Kick(id, ban) => Told::Kicked(self.kick(*id, *ban)),
            Inquiry::CloseBanned(target) => Told::Closed(self.close_banned(target)),
            Inquiry::Worker => Told::Worker(Box::new(self.worker_report())),
            Inquiry::Metrics => {
                let mut report = self.worker_report();
                (report.streams, report.others) = self.stream_figures();
                Told::Worker(Box::new(report))
            }
        }
    }

    fn stream_keys(&self, wanted: &WantedStreams) -> Vec<StreamKey> {
        let text = wanted.text.as_deref();
        let is_wanted = |stream: &&Stream| {
            let app = wanted.app.as_deref();
            app.is_none_or(|app| app_of(&stream.name) == app) && has_text(&stream.name, text)
        };
        let streams = self.streams.iter().map(|(_, stream)| stream);
        let keys = streams.filter(is_wanted).map(|stream| StreamKey {
            name: stream.name.clone(),
            value: self.stream_value(stream, wanted.sort),
            state: is_told_here(stream).then(|| state_of(stream)),
        });
        keys.collect()
    }

    /// This worker's part of what a stream is sorted by.
    fn stream_value(&self, stream: &Stream, sort: StreamSort) -> u64 {
        let tally = &stream.tally;
        let is_live = is_told_here(stream) && stream.source() != Source::Nobody;
        let of_live = |value: u64| if is_live { value } else { 0 };
        let counted = stream.intake.counted();
        match sort {
            StreamSort::Name => 0,
            StreamSort::State if is_told_here(stream) => state_of(stream) as u64,
            StreamSort::State => 0,
            StreamSort::Players => count_players(stream).players,
            StreamSort::HttpPlayers => count_players(stream).by_http,
            StreamSort::Waiting => count_players(stream).waiting,
            StreamSort::InBps => of_live(tally.rates.in_bps),
            StreamSort::OutBps => tally.rates.out_bps,
            StreamSort::BytesIn => of_live(stream.log.end()),
            StreamSort::BytesOut => tally.bytes_out,
            StreamSort::Skips => tally.skips,
            StreamSort::SkippedBytes => tally.skipped_bytes,
            StreamSort::Gaps => of_live(tally.gaps),
            StreamSort::KeyFrameInterval => of_live(counted.key_interval_ms.unwrap_or(0).into()),
            StreamSort::Delay => {
                let last = tally.last_round.filter(|_| !stream.players.is_empty());
                last.map_or(0, |last| {
                    nanoseconds(self.now.saturating_duration_since(last)) / 1_000_000
                })
            }
            StreamSort::Uptime => {
                of_live(self.now.saturating_duration_since(tally.began).as_secs())
            }
            StreamSort::Publisher => self.publisher_of(stream).unwrap_or(0),
        }
    }

    /// The id of the client that publishes a stream here or brings it.
    fn publisher_of(&self, stream: &Stream) -> Option<u64> {
        match stream.source() {
            Source::Publisher(key) => self.conns.get(key).map(|conn| conn.id),
            _ => None,
        }
    }

    /// All connections but those to the admin port.
    fn clients(&self) -> impl Iterator<Item = (ConnId, &Conn<S>)> {
        self.conns.iter().filter(|(_, conn)| !conn.is_admin)
    }

    fn client_keys(&self, wanted: &WantedClients) -> Vec<ClientKey> {
        let stream = match &wanted.stream {
            None => None,
            Some(name) => match self.streams.find(name) {
                Some(index) => Some(index),
                None => return Vec::new(),
            },
        };
        let uses = |key, index| {
            let mut streams = self.streams.used_by(key);
            streams.any(|its| its == index)
        };
        let found = self.clients().filter(|(key, conn)| {
            conn.closing.is_none()
                && stream.is_none_or(|index| uses(*key, index))
                && wanted.role.is_none_or(|role| self.role_of(*key) == role)
                && is_called(conn, wanted.text.as_deref())
        });
        let keys = found.map(|(key, conn)| ClientKey {
            id: conn.id,
            value: self.client_value(key, conn, wanted.sort),
        });
        keys.collect()
    }

    fn client_value(&self, key: ConnId, conn: &Conn<S>, sort: ClientSort) -> u64 {
        match sort {
            ClientSort::Id => 0,
            ClientSort::Role => self.role_of(key) as u64,
            ClientSort::Uptime => nanoseconds(self.now.saturating_duration_since(conn.accepted_at)),
            ClientSort::BytesIn => conn.bytes_in,
            ClientSort::BytesOut => conn.bytes_out,
            ClientSort::Lag => self.lag(key).map_or(0, |(_, ms)| ms.into()),
            ClientSort::LagBytes => self.lag(key).map_or(0, |(bytes, _)| bytes),
            ClientSort::Skips => conn.skips,
            ClientSort::SkippedBytes => conn.skipped_bytes,
        }
    }

    /// What is known here of a stream; with all `details`, or what figures are made of.
    fn stream_report(&self, stream: &Stream, details: bool) -> StreamReport {
        let Audience {
            players,
            by_http: http_players,
            waiting,
        } = count_players(stream);
        let pushes = stream.pushes.iter().filter(|push| push.is_publishing);
        let pushes = pushes.count() as u64;
        let tally = &stream.tally;
        let last = tally.last_round.filter(|_| players > 0);
        StreamReport {
            name: stream.name.clone(),
            epoch: stream.epoch,
            owned: is_told_here(stream).then(|| Box::new(self.owned_report(stream, details))),
            players,
            http_players,
            waiting,
            pushes,
            bytes_out: tally.bytes_out,
            out_bps: tally.rates.out_bps,
            skips: tally.skips,
            skipped_bytes: tally.skipped_bytes,
            delay: last.map(|last| self.now.saturating_duration_since(last)),
        }
    }

    fn owned_report(&self, stream: &Stream, details: bool) -> Owned {
        let intake = &stream.intake;
        // Those who wait for the next life of it have nothing of the last.
        let is_over = stream.source() == Source::Nobody;
        let counted = if is_over {
            Counted::default()
        } else {
            *intake.counted()
        };
        let codec = |codec: Option<crate::rtmp::media::Codec>| {
            codec
                .filter(|_| details && !is_over)
                .map(|codec| codec.four_cc())
        };
        Owned {
            state: state_of(stream),
            publisher: self.publisher_of(stream),
            uptime: self.now.saturating_duration_since(stream.tally.began),
            video_codec: codec(intake.video()),
            audio_codec: codec(intake.audio()),
            picture: match stream.log.headers_now() {
                Some(headers) if details => headers.picture(),
                _ => Picture::default(),
            },
            bytes_in: stream.log.end(),
            in_bps: stream.tally.rates.in_bps,
            messages_in: counted.messages,
            video_frames: counted.video_frames,
            audio_frames: counted.audio_frames,
            key_frames: counted.key_frames,
            key_interval_ms: counted.key_interval_ms,
            gaps: stream.tally.gaps,
            feeds: stream.feeds.len() as u64,
        }
    }

    fn client_report(&self, key: ConnId, conn: &Conn<S>) -> ClientReport {
        let lag = self.lag(key);
        let path = conn.socket.path();
        let published = self.streams.publications(key).iter();
        let intakes = published.map(|its| &self.streams[its.stream].intake);
        let streams = self.streams.used_by(key);
        let streams = streams.map(|index| self.streams[index].name.clone());
        let uptime = self.now.saturating_duration_since(conn.accepted_at);
        let (software, capabilities) = about(&conn.session);
        ClientReport {
            id: conn.id,
            address: conn.peer.to_string(),
            worker: self.worker.index(),
            protocol: protocol(conn, self.streams.plays(key)),
            role: self.role_of(key),
            streams: streams.collect(),
            uptime_seconds: milliseconds(uptime).round() / 1e3,
            bytes_in: conn.bytes_in,
            bytes_out: conn.bytes_out,
            lag_bytes: lag.map(|(bytes, _)| bytes),
            lag_ms: lag.map(|(_, ms)| ms),
            rtt_ms: path.map(|path| milliseconds(path.rtt)),
            retransmits: path.map(|path| path.retransmits),
            skips: conn.skips,
            skipped_bytes: conn.skipped_bytes,
            software,
            video_codec: intakes.clone().find_map(|its| Some(its.video()?.four_cc())),
            audio_codec: intakes.clone().find_map(|its| Some(its.audio()?.four_cc())),
            capabilities,
        }
    }

    /// What a connection is for now.
    fn role_of(&self, key: ConnId) -> Role {
        let plays = self.streams.plays(key);
        match self.conns[key].errand().map(|errand| errand.task) {
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
        let at = player.cursor.needs_from()?;
        let log = log_for(&stream.log, &stream.flv, player.form);
        let bytes = log.visible().saturating_sub(at);
        let next = log.frames_from(at).next();
        let ms = next.zip(log.last_timestamp());
        let ms = ms.map(|((_, frame), last)| last.since(frame.timestamp));
        let ms = ms.and_then(|ms| u32::try_from(ms).ok());
        Some((bytes, ms.unwrap_or(0)))
    }

    fn worker_report(&mut self) -> WorkerReport {
        self.bring_up_gauges();
        WorkerReport {
            gauges: self.gauges,
            closes: self.closes.iter().collect(),
            refusals: self.refusals.iter().collect(),
            targets: self.target_reports(),
            streams: Vec::new(),
            others: StreamReport::default(),
        }
    }

    /// What was handed on to each target.
    fn target_reports(&self) -> Vec<TargetReport> {
        let labels = rule::labels(&self.shared.config.push);
        let targets = labels.into_iter().zip(&self.targets);
        let report = |(target, gauges): (String, &TargetGauges)| TargetReport {
            target,
            pushes: gauges.streams,
            failures: gauges.failures,
            refusals: gauges.refusals,
            bytes_out: gauges.bytes_out,
            skipped_bytes: gauges.skipped_bytes,
        };
        targets.map(report).collect()
    }

    /// The streams that were ever published, the oldest lives first, and the rest of them added
    /// up. Names that nobody has published come from strangers and are told to nobody.
    fn stream_figures(&self) -> (Vec<StreamReport>, StreamReport) {
        let streams = self.streams.iter().map(|(_, stream)| stream);
        let is_known =
            |stream: &&Stream| !matches!(stream.source(), Source::Pulling | Source::Nobody);
        let mut known: Vec<&Stream> = streams.filter(is_known).collect();
        known.sort_unstable_by_key(|stream| stream.epoch);
        let mut others = StreamReport::default();
        for stream in known.drain(known.len().min(limits::METRIC_STREAMS_MAX)..) {
            others.add(&self.stream_report(stream, false));
        }
        let own = known.iter().map(|stream| self.stream_report(stream, false));
        (own.collect(), others)
    }

    /// Ends client `id`, and with `ban` keeps everybody from publishing what it publishes for
    /// that long: the names; None when it is not here.
    fn kick(&mut self, id: u64, ban: Option<Duration>) -> Option<Vec<Arc<str>>> {
        let is_it = |conn: &Conn<S>| conn.id == id && conn.closing.is_none() && !conn.is_admin;
        let (key, _) = self.conns.iter().find(|(_, conn)| is_it(conn))?;
        let mut banned = Vec::new();
        if let Some(time) = ban {
            for publication in self.streams.publications(key) {
                let name = &self.streams[publication.stream].name;
                if self.ban(&bans::of_name(name, time)) {
                    banned.push(name.clone());
                }
            }
        }
        self.end_client(key, "closed by the operator");
        Some(banned)
    }

    /// Ends those here that a new ban is for: connections from an address, but for operators and
    /// those that this relay has opened, or what brings a stream. How many.
    fn close_banned(&mut self, target: &BanTarget) -> u64 {
        if let BanTarget::Stream(name) = target {
            let index = self.streams.find(name);
            return index.map_or(0, |index| self.close_banned_stream(name, index).into());
        }
        let is_banned = |conn: &Conn<S>| {
            let is_theirs = !conn.is_admin && !conn.is_outbound() && conn.closing.is_none();
            is_theirs && bans::is_from(target, conn.peer.ip())
        };
        let conns = self.conns.iter().filter(|(_, conn)| is_banned(conn));
        let keys: Vec<ConnId> = conns.map(|(key, _)| key).collect();
        let mut closed = 0;
        for key in keys {
            let Some(conn) = self.conns.get(key).filter(|conn| conn.closing.is_none()) else {
                continue;
            };
            // It may have been lifted meanwhile.
            if let Some(why) = self.shared.bans.of_address(conn.peer.ip(), self.uptime()) {
                self.end_client(key, &why);
                closed += 1;
            }
        }
        closed
    }

    /// Ends the publish or fetch of a stream that a new ban is for; whether a publish has ended.
    fn close_banned_stream(&mut self, name: &str, index: StreamId) -> bool {
        let stream = &self.streams[index];
        if stream.pull.is_some() {
            self.contained(NOBODY, Step::Other, |core| core.give_way(index));
            return false;
        }
        let Source::Publisher(key) = stream.source() else {
            return false;
        };
        // It may have been lifted meanwhile.
        let Some(why) = self.shared.bans.of_stream(name, self.uptime()) else {
            return false;
        };
        self.contained(key, Step::Other, |core| {
            let status = Status::PublishDenied;
            core.end_publication(index, status, &why, &CloseReason::Kicked);
        });
        true
    }

    fn end_client(&mut self, key: ConnId, why: &str) {
        self.contained(key, Step::Other, |core| {
            core.tell_kicked(key, why);
            core.close(key, &CloseReason::Kicked);
        });
    }

    fn tell_kicked(&mut self, key: ConnId, why: &str) {
        let conn = &mut self.conns[key];
        for play in self.streams.plays(key) {
            // By HTTP the close says why.
            if !play.switching && conn.session.http().is_none() {
                conn.session.reject(play.msid, Status::PlayFailed, why);
            }
        }
        for publication in self.streams.publications(key) {
            let status = Status::PublishDenied;
            conn.session.reject(publication.msid, status, why);
        }
    }

    /// Works out the bits a second of each stream; about once a second.
    pub(super) fn measure_rates(&mut self) {
        let now = self.now;
        for (_, stream) in self.streams.iter_mut() {
            let bytes_in = stream.log.end();
            stream.tally.measure(now, bytes_in);
        }
    }

    /// Players that wait, and those that play by HTTP and WebSocket.
    pub(super) fn count_audience(&self) -> (u64, u64) {
        let streams = self.streams.iter();
        let players = streams.flat_map(|(_, stream)| stream.players.iter());
        players.fold((0, 0), |(waiting, by_http), player| {
            let is_waiting = !player.started && player.form != Form::Publish;
            let plays_by_http = player.started && is_by_http(player);
            (
                waiting + u64::from(is_waiting),
                by_http + u64::from(plays_by_http),
            )
        })
    }

    /// The loop went through a turn that read and wrote for so long.
    pub(super) fn count_turn(&mut self, ingress: Duration, egress: Duration) {
        self.gauges.turns += 1;
        self.gauges.ingress_ns += nanoseconds(ingress);
        self.gauges.egress_ns += nanoseconds(egress);
    }

    /// The loop has not slept for so long.
    pub fn count_busy(&mut self, time: Duration) {
        self.gauges.busy_ns += nanoseconds(time);
    }

    /// So many letters were in the mailbox.
    pub fn count_letters(&mut self, count: usize) {
        let count = count as u64;
        self.gauges.letters += count;
        self.gauges.mail_queue = self.gauges.mail_queue.max(count);
    }

    /// What is counted; for the event loop's own part of it.
    pub fn gauges_mut(&mut self) -> &mut Gauges {
        &mut self.gauges
    }
}

/// Writes down which rows `listing` has and what to ask for to have them.
fn rows(answer: &mut Answer, listing: &Listing) -> Inquiry {
    let is_of_streams = |told: &Told| matches!(told, Told::StreamKeys(_));
    if answer.told.iter().flatten().any(is_of_streams) {
        let rows = listing.streams(&answer.told);
        (answer.total, answer.next) = (rows.total, rows.next);
        answer.names = rows.keys;
        return Inquiry::Streams(answer.names.clone().into());
    }
    let rows = listing.clients(&answer.told);
    (answer.total, answer.next) = (rows.total, rows.next);
    let mut ids = rows.keys.clone();
    answer.ids = rows.keys;
    ids.sort_unstable();
    Inquiry::Clients(ids.into())
}

/// Those who play a stream at one worker, targets of `--push` left out.
struct Audience {
    players: u64,
    by_http: u64,
    waiting: u64,
}

fn count_players(stream: &Stream) -> Audience {
    let (mut players, mut by_http, mut waiting) = (0, 0, 0);
    for player in stream.players.iter() {
        match player.form {
            Form::Publish => {}
            _ if !player.started => waiting += 1,
            _ => {
                players += 1;
                by_http += u64::from(is_by_http(player));
            }
        }
    }
    Audience {
        players,
        by_http,
        waiting,
    }
}

/// Whether this worker tells where the stream stands: it comes in here, or nowhere.
fn is_told_here(stream: &Stream) -> bool {
    stream.is_owned() || stream.source() == Source::Nobody
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

/// A ban's target, for the log.
fn label(target: &BanTarget) -> String {
    match target {
        BanTarget::Stream(name) => format!("stream={name:?}"),
        BanTarget::Network(network) => format!("address={network}"),
    }
}

/// Whether the address of a connection or what it calls itself has `text` in it.
fn is_called<S>(conn: &Conn<S>, text: Option<&str>) -> bool {
    text.is_none()
        || has_text(&conn.peer.to_string(), text)
        || has_text(&about(&conn.session).0, text)
}

/// The app of a stream: everything before the last slash.
fn app_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(app, _)| app)
}

/// Whether a player plays by HTTP or WebSocket.
fn is_by_http(player: &Player) -> bool {
    matches!(player.form, Form::Flv(_))
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

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
