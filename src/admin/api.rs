//! The JSON API: what the workers told, added up and written down. README.md and `openapi.json`
//! say what the fields mean.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::process::Process;
use super::route::{ApiError, Route};
use super::{Context, JSON, OPENAPI, json, metrics};
use crate::config::Config;
use crate::flags::settings;
use crate::http::response::Response;
use crate::report::{
    Answer, BanReport, ClientReport, Owned, State, StreamReport, TargetReport, Told, WorkerReport,
};

/// What is said to a request for `route`. `answer` is what the workers told, where
/// [`Route::question`] has something to ask them.
pub fn answer(route: &Route, answer: Option<Answer>, context: &Context<'_>) -> Response {
    let told = answer.unwrap_or_default();
    let answered = match route {
        Route::Healthz => Ok(Response::text(200, "ok")),
        Route::Readyz if context.draining => Ok(Response::text(503, "draining")),
        Route::Readyz => Ok(Response::text(200, "ready")),
        Route::OpenApi => Ok(Response::new(200, JSON, OPENAPI.as_bytes())),
        Route::Config => Ok(config(context.config)),
        Route::Workers => Ok(workers(told, context)),
        Route::Metrics(format) => {
            let text = metrics::text(told, context, Process::read(), *format);
            let answer = Response::new(200, format.content_type(), text.into_bytes());
            let answer = answer.with("Cache-Control", "no-store");
            Ok(answer.with("Vary", "Accept"))
        }
        Route::Streams { .. } => Ok(streams(told, context)),
        Route::Stream(name) => stream(told, name),
        Route::Clients { .. } => Ok(clients(told, context)),
        Route::Client(id) => client(told, *id),
        Route::Bans | Route::Lift(_) => bans(told, context),
        Route::Ban(_) => banned(told),
        Route::Kick { id, ban } => kicked(told, *id, ban.map(|ban| ban.as_secs())),
    };
    answered.unwrap_or_else(|error| error.response())
}

/// A stream, as all workers together know it.
#[derive(Serialize)]
struct Stream<'a> {
    name: &'a str,
    app: &'a str,
    stream: &'a str,
    state: State,
    epoch: u64,
    worker: Option<usize>,
    publisher: Option<u64>,
    uptime_seconds: Option<f64>,
    video_codec: Option<&'a str>,
    audio_codec: Option<&'a str>,
    width: Option<u32>,
    height: Option<u32>,
    frame_rate: Option<f64>,
    bytes_in: u64,
    bytes_out: u64,
    in_bps: u64,
    out_bps: u64,
    messages_in: u64,
    video_frames: u64,
    audio_frames: u64,
    key_frames: u64,
    key_frame_interval_ms: Option<u32>,
    players: u64,
    waiting: u64,
    http_players: u64,
    pushes: u64,
    skips: u64,
    skipped_bytes: u64,
    gaps: u64,
    delay_ms: Option<u64>,
    feeds: u64,
    workers: &'a [Share],
}

/// Players at one worker.
#[derive(Clone, Copy, Debug, Serialize)]
struct Share {
    worker: usize,
    players: u64,
}

/// A stream with its players by worker.
#[derive(Debug, Default)]
struct Merged {
    all: StreamReport,
    owner: Option<usize>,
    shares: Vec<Share>,
}

/// What all workers told of streams, by name.
fn merged(answer: &Answer) -> BTreeMap<Arc<str>, Merged> {
    let mut streams: BTreeMap<Arc<str>, Merged> = BTreeMap::new();
    for (worker, told) in answer.told.iter().enumerate() {
        let Some(Told::Streams(reports)) = told else {
            continue;
        };
        for report in reports {
            let merged = streams.entry(report.name.clone()).or_default();
            let owned = report.owned.as_ref();
            if owned.is_some_and(|owned| owned.state != State::Waiting) {
                merged.owner = Some(worker);
            }
            if report.players > 0 {
                let players = report.players;
                merged.shares.push(Share { worker, players });
            }
            merged.all.add(report);
        }
    }
    streams
}

impl Merged {
    fn show<'a>(&'a self, name: &'a str) -> Stream<'a> {
        let (app, stream) = name.rsplit_once('/').unwrap_or(("", name));
        let all = &self.all;
        let owned = all.owned.as_deref();
        let number = |field: fn(&Owned) -> u64| owned.map_or(0, field);
        let is_live = owned.filter(|owned| owned.state != State::Waiting);
        let delay = all.delay.map(|delay| delay.as_millis());
        Stream {
            name,
            app,
            stream,
            state: owned.map_or(State::Waiting, |owned| owned.state),
            epoch: all.epoch,
            worker: self.owner,
            publisher: owned.and_then(|owned| owned.publisher),
            uptime_seconds: is_live.map(|owned| to_milliseconds(owned.uptime)),
            video_codec: owned.and_then(|owned| owned.video_codec.as_deref()),
            audio_codec: owned.and_then(|owned| owned.audio_codec.as_deref()),
            width: owned.and_then(|owned| owned.picture.width),
            height: owned.and_then(|owned| owned.picture.height),
            frame_rate: owned.and_then(|owned| owned.picture.frame_rate.map(rounded)),
            bytes_in: number(|owned| owned.bytes_in),
            bytes_out: all.bytes_out,
            in_bps: number(|owned| owned.in_bps),
            out_bps: all.out_bps,
            messages_in: number(|owned| owned.messages_in),
            video_frames: number(|owned| owned.video_frames),
            audio_frames: number(|owned| owned.audio_frames),
            key_frames: number(|owned| owned.key_frames),
            key_frame_interval_ms: owned.and_then(|owned| owned.key_interval_ms),
            players: all.players,
            waiting: all.waiting,
            http_players: all.http_players,
            pushes: all.pushes,
            skips: all.skips,
            skipped_bytes: all.skipped_bytes,
            gaps: number(|owned| owned.gaps),
            delay_ms: delay.and_then(|ms| u64::try_from(ms).ok()),
            feeds: number(|owned| owned.feeds),
            workers: &self.shares,
        }
    }
}

fn streams(answer: Answer, context: &Context<'_>) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        time_ms: u64,
        total: usize,
        next: Option<String>,
        streams: Vec<Stream<'a>>,
    }
    let streams = merged(&answer);
    let names = answer.names.iter();
    let shown = names.filter_map(|name| Some(streams.get(name)?.show(name)));
    let body = Body {
        time_ms: context.time_ms,
        total: answer.total,
        next: answer.next.as_ref().map(ToString::to_string),
        streams: shown.collect(),
    };
    json(200, &body)
}

fn stream(answer: Answer, name: &str) -> Result<Response, ApiError> {
    let streams = merged(&answer);
    match streams.get(name) {
        Some(merged) => Ok(json(200, &merged.show(name))),
        None => Err(missing(&answer, "stream")),
    }
}

/// Nobody has it, unless somebody did not answer.
fn missing(answer: &Answer, what: &str) -> ApiError {
    if answer.told.iter().all(Option::is_some) {
        ApiError::not_found(what)
    } else {
        ApiError::busy()
    }
}

/// The clients that were told of, in the order of their ids.
fn all_clients(answer: Answer) -> Vec<ClientReport> {
    let mut clients: Vec<ClientReport> = Vec::new();
    for told in answer.told.into_iter().flatten() {
        if let Told::Clients(more) = told {
            clients.extend(more);
        }
    }
    clients.sort_by_key(|client| client.id);
    clients.dedup_by_key(|client| client.id);
    clients
}

fn clients(answer: Answer, context: &Context<'_>) -> Response {
    #[derive(Serialize)]
    struct Body {
        time_ms: u64,
        total: usize,
        next: Option<String>,
        clients: Vec<ClientReport>,
    }
    let (total, ids) = (answer.total, answer.ids.clone());
    let next = answer.next.as_ref().map(ToString::to_string);
    let mut by_id: HashMap<u64, ClientReport> = HashMap::new();
    by_id.extend(all_clients(answer).into_iter().map(|its| (its.id, its)));
    let body = Body {
        time_ms: context.time_ms,
        total,
        next,
        clients: ids.iter().filter_map(|id| by_id.remove(id)).collect(),
    };
    json(200, &body)
}

fn client(answer: Answer, id: u64) -> Result<Response, ApiError> {
    let error = missing(&answer, "client");
    let clients = all_clients(answer);
    let found = clients.iter().find(|client| client.id == id);
    found.map(|client| json(200, client)).ok_or(error)
}

fn kicked(answer: Answer, id: u64, ban_seconds: Option<u64>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Body<'a> {
        id: u64,
        closed: bool,
        banned: &'a [Arc<str>],
        ban_seconds: Option<u64>,
    }
    let mut told = answer.told.iter().flatten();
    let banned = told.find_map(|told| match told {
        Told::Kicked(Some(banned)) => Some(banned),
        _ => None,
    });
    let Some(banned) = banned else {
        return Err(missing(&answer, "client"));
    };
    let body = Body {
        id,
        closed: true,
        banned,
        ban_seconds: ban_seconds.filter(|_| !banned.is_empty()),
    };
    Ok(json(200, &body))
}

/// The bans in force, also after one was lifted.
fn bans(answer: Answer, context: &Context<'_>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Body {
        time_ms: u64,
        total: usize,
        bans: Vec<BanReport>,
    }
    if answer.refused {
        return Err(ApiError::not_found("ban"));
    }
    let body = Body {
        time_ms: context.time_ms,
        total: answer.total,
        bans: answer.bans,
    };
    Ok(json(200, &body))
}

fn banned(answer: Answer) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Body {
        banned: bool,
        closed: u64,
    }
    if answer.refused {
        return Err(ApiError::full());
    }
    let counts = answer.told.iter().flatten().map(|told| match told {
        Told::Closed(count) => *count,
        _ => 0,
    });
    let body = Body {
        banned: true,
        closed: counts.sum(),
    };
    Ok(json(200, &body))
}

/// A worker: its gauges by their names, its times in seconds.
struct Worker<'a> {
    worker: usize,
    report: Option<&'a WorkerReport>,
}

impl Serialize for Worker<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("worker", &self.worker)?;
        map.serialize_entry("answers", &self.report.is_some())?;
        let Some(report) = self.report else {
            return map.end();
        };
        for (name, value) in report.gauges.named() {
            match name.strip_suffix("_ns") {
                Some(name) => map.serialize_entry(&format!("{name}_seconds"), &seconds(value))?,
                // Those that wait are told apart.
                None if name == "players" => {
                    let playing = value.saturating_sub(report.gauges.waiting);
                    map.serialize_entry(name, &playing)?;
                }
                None => map.serialize_entry(name, &value)?,
            }
        }
        map.end()
    }
}

/// Seconds to three decimals.
fn to_milliseconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}

/// A number to three decimals, where it has any that can be told.
fn rounded(number: f64) -> f64 {
    let thousandths = (number * 1e3).round();
    if thousandths.is_finite() {
        thousandths / 1e3
    } else {
        number
    }
}

/// Nanoseconds in seconds.
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// What all workers counted of targets.
pub(super) fn targets(answer: &Answer) -> Vec<TargetReport> {
    let mut sum: Vec<TargetReport> = Vec::new();
    for report in reports(answer).flatten() {
        // All workers have the same in the same order.
        for (at, target) in report.targets.iter().enumerate() {
            match sum.get_mut(at) {
                Some(known) => known.add(target),
                None => sum.push(target.clone()),
            }
        }
    }
    sum
}

/// How often connections were closed, by reason.
pub(super) fn closes(answer: &Answer) -> BTreeMap<&'static str, u64> {
    let mut sum = BTreeMap::new();
    for (code, count) in reports(answer).flatten().flat_map(|report| &report.closes) {
        *sum.entry(*code).or_default() += count;
    }
    sum
}

/// How often requests were refused, by what was asked for and why.
pub(super) fn refusals(answer: &Answer) -> BTreeMap<(&'static str, &'static str), u64> {
    let mut sum = BTreeMap::new();
    for (asked, code, count) in reports(answer)
        .flatten()
        .flat_map(|report| &report.refusals)
    {
        *sum.entry((*asked, *code)).or_default() += count;
    }
    sum
}

/// What each worker told of itself.
pub(super) fn reports(answer: &Answer) -> impl Iterator<Item = Option<&WorkerReport>> {
    answer.told.iter().map(|told| match told {
        Some(Told::Worker(report)) => Some(&**report),
        _ => None,
    })
}

fn workers(answer: Answer, context: &Context<'_>) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        time_ms: u64,
        version: &'a str,
        uptime_seconds: f64,
        draining: bool,
        process: Process,
        workers: Vec<Worker<'a>>,
        pushes: Vec<TargetReport>,
        closes: BTreeMap<&'static str, u64>,
    }
    let reports = reports(&answer).enumerate();
    let workers = reports.map(|(worker, report)| Worker { worker, report });
    let body = Body {
        time_ms: context.time_ms,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: to_milliseconds(context.uptime),
        draining: context.draining,
        process: Process::read(),
        workers: workers.collect(),
        pushes: targets(&answer),
        closes: closes(&answer),
    };
    json(200, &body)
}

/// The settings in effect; of other servers what may be shown to everybody.
fn config(config: &Config) -> Response {
    #[derive(Serialize)]
    struct Body {
        settings: Vec<Setting>,
    }
    #[derive(Serialize)]
    struct Setting {
        name: &'static str,
        value: String,
        is_default: bool,
    }
    let defaults = Config::default();
    let settings = settings().map(|opt| {
        let values = opt.public(config);
        Setting {
            name: opt.name,
            is_default: values == opt.public(&defaults),
            value: values.join(" "),
        }
    });
    let settings = settings.collect();
    json(200, &Body { settings })
}

#[cfg(test)]
mod tests;
