//! The JSON API: what the workers told, added up and written down. README.md and `openapi.json`
//! say what the fields mean.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::Serialize;

use super::list::{Page, Rows, StreamSort};
use super::process::Process;
use super::route::{ApiError, Route, WantedStreams};
use super::{Context, Counters, metrics};
use crate::config::Config;
use crate::flags::settings;
use crate::http::response::Response;
use crate::stats::{Gauges, OwnedGauges, Row, StreamGauges, TargetGauges};
use crate::worker::bans::BanReport;
use crate::worker::query::{ClientRow, State, StreamRow, Told, WorkerRow};

const JSON: &str = "application/json";

/// What `value` is in JSON.
pub(super) fn json(status: u16, value: &impl Serialize) -> Response {
    // Only maps whose keys are no strings cannot be written, and there are none.
    let body = serde_json::to_vec(value).unwrap_or_default();
    Response::new(status, JSON, body).with("Cache-Control", "no-store")
}

/// What the API is.
pub(super) fn openapi() -> Response {
    Response::new(200, JSON, OPENAPI.as_bytes())
}

/// The API in the terms of OpenAPI 3.1, with a property for each counter.
pub(super) static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    let text = include_str!("openapi.json").to_owned();
    let all = [
        ("GAUGES", Gauges::ROWS),
        ("TARGET_GAUGES", TargetGauges::ROWS),
        ("STREAM_GAUGES", StreamGauges::ROWS),
        ("OWNED_GAUGES", OwnedGauges::ROWS),
    ];
    all.iter().fold(text, |text, (mark, rows)| {
        let names = rows.iter().map(|row| format!("\"{}\"", row.json_name()));
        let properties = rows.iter().map(property).collect::<Vec<_>>().join(", ");
        let text = text.replace(&format!("\"{mark}\": {{}}"), &properties);
        text.replace(
            &format!("\"{mark}\""),
            &names.collect::<Vec<_>>().join(", "),
        )
    })
});

/// What the description says of a counter.
fn property(row: &Row) -> String {
    let (name, help) = (row.json_name(), row.help);
    let kind = if name == row.name {
        "integer"
    } else {
        "number"
    };
    format!("\"{name}\": {{ \"type\": \"{kind}\", \"minimum\": 0, \"description\": \"{help}\" }}")
}

/// What a request for `route` is answered with when this is what each worker told.
pub(super) fn answer(route: &Route, told: Vec<Option<Told>>, context: &Context<'_>) -> Response {
    let answered = match route {
        Route::OpenApi => Ok(openapi()),
        Route::Config => Ok(config(context.config)),
        Route::Workers => Ok(workers(&told, context)),
        Route::Metrics(format) => {
            let text = metrics::text(told, context, Process::read(), *format);
            let answer = Response::new(200, format.content_type(), text.into_bytes());
            let answer = answer.with("Cache-Control", "no-store");
            Ok(answer.with("Vary", "Accept"))
        }
        Route::Streams { wanted, page } => Ok(streams(&told, wanted, page, context)),
        Route::Stream(name) => stream(&told, name),
        Route::Client(id) => client(told, *id),
        Route::Clients { .. } => Err(ApiError::busy()),
        Route::Bans | Route::Lift(_) => Ok(bans(context)),
        Route::Ban(_) => Ok(banned(&told)),
        Route::Kick { id, ban } => kicked(&told, *id, ban.map(|ban| ban.as_secs())),
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
    video_codec: Option<String>,
    video_header: Option<bool>,
    audio_codec: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    frame_rate: Option<f64>,
    key_frame_interval_ms: Option<u32>,
    delay_ms: Option<u64>,
    #[serde(flatten)]
    gauges: StreamGauges,
    #[serde(flatten)]
    owned: OwnedGauges,
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
    all: StreamRow,
    owner: Option<usize>,
    shares: Vec<Share>,
}

/// What all workers told of streams, by name.
fn merged(told: &[Option<Told>]) -> BTreeMap<Arc<str>, Merged> {
    let mut streams: BTreeMap<Arc<str>, Merged> = BTreeMap::new();
    for (worker, told) in told.iter().enumerate() {
        let Some(Told::Streams(reports)) = told else {
            continue;
        };
        for report in reports {
            let merged = streams.entry(report.name.clone()).or_default();
            let owned = report.owned.as_ref();
            if owned.is_some_and(|owned| owned.state != State::Waiting) {
                merged.owner = Some(worker);
            }
            if report.gauges.players > 0 {
                let players = report.gauges.players;
                merged.shares.push(Share { worker, players });
            }
            merged.all.add(report);
        }
    }
    streams
}

impl Merged {
    fn show<'a>(&'a self, name: &'a str) -> Stream<'a> {
        let (app, stream) = app_of(name);
        let all = &self.all;
        let owned = all.owned.as_ref();
        let is_live = owned.filter(|owned| owned.state != State::Waiting);
        Stream {
            name,
            app,
            stream,
            state: self.state(),
            epoch: all.epoch,
            worker: self.owner,
            publisher: owned.and_then(|owned| owned.publisher),
            uptime_seconds: is_live.map(|owned| to_milliseconds(owned.uptime)),
            video_codec: owned.and_then(|owned| Some(owned.video?.four_cc())),
            video_header: owned.and_then(|owned| owned.video_header),
            audio_codec: owned.and_then(|owned| Some(owned.audio?.four_cc())),
            width: owned.and_then(|owned| owned.picture.width),
            height: owned.and_then(|owned| owned.picture.height),
            frame_rate: owned.and_then(|owned| owned.picture.frame_rate.map(rounded)),
            key_frame_interval_ms: owned.and_then(|owned| owned.key_interval_ms),
            delay_ms: all.delay.map(milliseconds),
            gauges: all.gauges,
            owned: owned.map(|owned| owned.gauges).unwrap_or_default(),
            workers: &self.shares,
        }
    }

    /// What it is sorted by; of one that is not live, what comes in is nothing.
    fn value(&self, sort: StreamSort) -> u64 {
        let live = self.all.owned.filter(|owned| owned.state != State::Waiting);
        match sort {
            StreamSort::State => self.state() as u64,
            StreamSort::Delay => self.all.delay.map_or(0, milliseconds),
            StreamSort::Uptime => live.map_or(0, |live| live.uptime.as_secs()),
            StreamSort::Publisher => live.and_then(|live| live.publisher).unwrap_or(0),
            StreamSort::KeyFrameInterval => {
                let interval = live.and_then(|live| live.key_interval_ms);
                interval.unwrap_or(0).into()
            }
            counter => {
                let owned = live.map(|live| live.gauges).unwrap_or_default();
                let number = self.all.gauges.get(counter.name());
                number.or_else(|| owned.get(counter.name())).unwrap_or(0)
            }
        }
    }

    fn state(&self) -> State {
        self.all.owned.map_or(State::Waiting, |owned| owned.state)
    }
}

fn streams(
    told: &[Option<Told>],
    wanted: &WantedStreams,
    page: &Page,
    context: &Context<'_>,
) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        time_ms: u64,
        total: usize,
        next: Option<String>,
        streams: Vec<Stream<'a>>,
    }
    let streams = merged(told);
    let has_text = |name: &str, text: &String| name.to_lowercase().contains(text);
    let all = streams.iter().filter(|(name, merged)| {
        let is_of = |app: &String| app_of(name).0 == app;
        wanted.app.as_ref().is_none_or(is_of)
            && wanted.text.as_ref().is_none_or(|text| has_text(name, text))
            && wanted.state.is_none_or(|state| merged.state() == state)
    });
    let all = all.map(|(name, merged)| (merged.value(wanted.sort), name.clone()));
    let rows = page.of(all.collect(), |key| Some(key.into()));
    let shown = rows.keys.iter();
    let shown = shown.filter_map(|name| Some(streams.get(name)?.show(name)));
    let body = Body {
        time_ms: context.time_ms,
        total: rows.total,
        next: rows.next.as_ref().map(ToString::to_string),
        streams: shown.collect(),
    };
    json(200, &body)
}

fn stream(told: &[Option<Told>], name: &str) -> Result<Response, ApiError> {
    match merged(told).get(name) {
        Some(merged) => Ok(json(200, &merged.show(name))),
        None => Err(missing(told, "stream")),
    }
}

/// The app of a stream, which is everything before the last slash, and what is behind that.
fn app_of(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// Nobody has it, unless somebody did not answer.
fn missing(told: &[Option<Told>], what: &str) -> ApiError {
    if told.iter().all(Option::is_some) {
        ApiError::not_found(what)
    } else {
        ApiError::busy()
    }
}

/// The clients that were told of, by their ids.
fn all_clients(told: Vec<Option<Told>>) -> HashMap<u64, ClientRow> {
    let rows = told.into_iter().flatten().filter_map(|told| match told {
        Told::Clients(rows) => Some(rows),
        _ => None,
    });
    rows.flatten().map(|row| (row.id, row)).collect()
}

/// A page of clients, with the `rows` in this order.
pub(super) fn clients(told: Vec<Option<Told>>, rows: Rows<u64>, context: &Context<'_>) -> Response {
    #[derive(Serialize)]
    struct Body {
        time_ms: u64,
        total: usize,
        next: Option<String>,
        clients: Vec<ClientRow>,
    }
    let mut clients = all_clients(told);
    let body = Body {
        time_ms: context.time_ms,
        total: rows.total,
        next: rows.next.as_ref().map(ToString::to_string),
        clients: rows
            .keys
            .iter()
            .filter_map(|id| clients.remove(id))
            .collect(),
    };
    json(200, &body)
}

fn client(told: Vec<Option<Told>>, id: u64) -> Result<Response, ApiError> {
    let error = missing(&told, "client");
    let clients = all_clients(told);
    clients
        .get(&id)
        .map(|client| json(200, client))
        .ok_or(error)
}

fn kicked(told: &[Option<Told>], id: u64, ban_seconds: Option<u64>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Body<'a> {
        id: u64,
        closed: bool,
        banned: &'a [Arc<str>],
        ban_seconds: Option<u64>,
    }
    let banned = told.iter().flatten().find_map(|told| match told {
        Told::Kicked(banned) => banned.as_ref(),
        _ => None,
    });
    let Some(banned) = banned else {
        return Err(missing(told, "client"));
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
pub(super) fn bans(context: &Context<'_>) -> Response {
    #[derive(Serialize)]
    struct Body {
        time_ms: u64,
        total: usize,
        bans: Vec<BanReport>,
    }
    let bans = context.bans.list(context.uptime);
    let body = Body {
        time_ms: context.time_ms,
        total: bans.len(),
        bans,
    };
    json(200, &body)
}

fn banned(told: &[Option<Told>]) -> Response {
    #[derive(Serialize)]
    struct Body {
        banned: bool,
        closed: u64,
    }
    let counts = told.iter().flatten().map(|told| match told {
        Told::Closed(count) => *count,
        _ => 0,
    });
    let body = Body {
        banned: true,
        closed: counts.sum(),
    };
    json(200, &body)
}

/// A time in whole milliseconds.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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

/// What all workers counted of targets, in the order of the push rules.
pub(super) fn targets(told: &[Option<Told>], context: &Context<'_>) -> Vec<TargetGauges> {
    let mut sum = vec![TargetGauges::default(); context.targets.len()];
    for report in reports(told).flatten() {
        for (sum, target) in sum.iter_mut().zip(&report.targets) {
            *sum = sum.plus(target);
        }
    }
    sum
}

/// How often connections were closed, by reason.
pub(super) fn closes(told: &[Option<Told>]) -> BTreeMap<&'static str, u64> {
    let mut sum = BTreeMap::new();
    for (code, count) in reports(told).flatten().flat_map(|report| &report.closes) {
        *sum.entry(*code).or_default() += count;
    }
    sum
}

/// How often requests were refused, by what was asked for and why.
pub(super) fn refusals(told: &[Option<Told>]) -> BTreeMap<(&'static str, &'static str), u64> {
    let mut sum = BTreeMap::new();
    for (asked, code, count) in reports(told).flatten().flat_map(|report| &report.refusals) {
        *sum.entry((*asked, *code)).or_default() += count;
    }
    sum
}

/// What each worker told of itself.
pub(super) fn reports(told: &[Option<Told>]) -> impl Iterator<Item = Option<&WorkerRow>> {
    told.iter().map(|told| match told {
        Some(Told::Worker(report)) => Some(&**report),
        _ => None,
    })
}

fn workers(told: &[Option<Told>], context: &Context<'_>) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        time_ms: u64,
        version: &'a str,
        uptime_seconds: f64,
        draining: bool,
        process: Process,
        admin: Counters,
        workers: Vec<Worker>,
        pushes: Vec<Target<'a>>,
        closes: BTreeMap<&'static str, u64>,
    }
    #[derive(Serialize)]
    struct Worker {
        worker: usize,
        answers: bool,
        #[serde(flatten)]
        gauges: Option<Gauges>,
    }
    #[derive(Serialize)]
    struct Target<'a> {
        target: &'a str,
        #[serde(flatten)]
        gauges: TargetGauges,
    }
    let workers = reports(told).enumerate().map(|(worker, report)| Worker {
        worker,
        answers: report.is_some(),
        gauges: report.map(|report| {
            let gauges = report.gauges;
            // Those that wait are told apart.
            let players = gauges.players.saturating_sub(gauges.waiting);
            Gauges { players, ..gauges }
        }),
    });
    let pushes = context.targets.iter().zip(targets(told, context));
    let pushes = pushes.map(|(target, gauges)| Target { target, gauges });
    let body = Body {
        time_ms: context.time_ms,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: to_milliseconds(context.uptime),
        draining: context.draining,
        process: Process::read(),
        admin: context.counters,
        workers: workers.collect(),
        pushes: pushes.collect(),
        closes: closes(told),
    };
    json(200, &body)
}

/// The settings in effect; of other servers what may be shown to everybody.
pub(super) fn config(config: &Config) -> Response {
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
