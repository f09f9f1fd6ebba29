//! Figures for Prometheus, in its classic text format or, for a client that asks for it, in that of
//! OpenMetrics 1.0. One table says what there is; the text, and the table in README.md
//! (`tests/tables.rs`), are made of it.
//!
//! Labels have names of streams that were published, which somebody let in; never names that
//! players ask for, or addresses. [`limits::METRIC_STREAMS_MAX`] streams have series of their own,
//! those that have lived longest, and the rest are added up under the name [`OTHERS`]. A stream's
//! series end with the stream.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet,
    GaugeValueEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::process::Process;
use super::{Context, api};
use crate::limits;
use crate::report::{Answer, Owned, State, StreamReport, TargetReport, Told};
use crate::stats::Gauges;

/// A text format of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Version 0.0.4 of Prometheus' own format, which every collector reads.
    #[default]
    Classic,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Returns the format that a client with this `Accept` prefers. A wildcard asks for nothing in
    /// particular. RFC 9110 §12.5.1.
    pub fn of_accept(accept: &str) -> Self {
        let open = weight(accept, "application/openmetrics-text");
        if open > 0.0 && open >= weight(accept, "text/plain") {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// Returns the value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The highest weight (`q`) that an Accept field gives a media type by name; 0 when it does not
/// name it.
fn weight(accept: &str, media_type: &str) -> f32 {
    let weights = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next()?.eq_ignore_ascii_case(media_type);
        let mut parameters = parts.filter_map(|part| part.split_once('='));
        let q = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let q = q.map_or(Some(1.0), |(_, q)| q.trim().parse().ok());
        q.filter(|_| is_it)
    });
    weights.fold(0.0, f32::max)
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What streams beyond the limit are called; no stream is called so, for it has no app.
pub const OTHERS: &str = "other";

/// A metric: a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, without the `_total` of a counter and the `_info` of an info.
    name: &'static str,
    kind: Kind,
    source: Source,
    /// What it says, as `# HELP` and the README have it.
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Info,
}

/// Where the values come from, which decides on the labels.
#[derive(Clone, Copy, Debug)]
enum Source {
    Build,
    Relay(fn(&Figures) -> Value),
    /// Of each worker that answers.
    Worker(fn(&Gauges) -> Value),
    /// Whether each worker answers.
    Answers,
    /// Of each worker, by role.
    Roles,
    Closes,
    /// By request and reason.
    Refusals,
    Limits,
    Target(fn(&TargetReport) -> u64),
    /// Of each stream; None makes no series.
    Stream(fn(&StreamReport) -> Option<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Count(u64),
    Real(f64),
}

use Kind::{Counter, Gauge, Info};
use Value::{Count, Real};

impl EncodeGaugeValue for Value {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match self {
            Count(count) => EncodeGaugeValue::encode(count, encoder),
            Real(real) => EncodeGaugeValue::encode(real, encoder),
        }
    }
}

impl EncodeCounterValue for Value {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match self {
            Count(count) => EncodeCounterValue::encode(count, encoder),
            Real(real) => EncodeCounterValue::encode(real, encoder),
        }
    }
}

const fn metric(name: &'static str, kind: Kind, source: Source, help: &'static str) -> Metric {
    Metric {
        name,
        kind,
        source,
        help,
    }
}

const fn relay(
    name: &'static str,
    kind: Kind,
    value: fn(&Figures) -> Value,
    help: &'static str,
) -> Metric {
    metric(name, kind, Source::Relay(value), help)
}

const fn worker(
    name: &'static str,
    kind: Kind,
    value: fn(&Gauges) -> Value,
    help: &'static str,
) -> Metric {
    metric(name, kind, Source::Worker(value), help)
}

const fn target(
    name: &'static str,
    kind: Kind,
    value: fn(&TargetReport) -> u64,
    help: &'static str,
) -> Metric {
    metric(name, kind, Source::Target(value), help)
}

const fn stream(
    name: &'static str,
    kind: Kind,
    value: fn(&StreamReport) -> Option<Value>,
    help: &'static str,
) -> Metric {
    metric(name, kind, Source::Stream(value), help)
}

fn owned(report: &StreamReport, value: fn(&Owned) -> u64) -> Option<Value> {
    report.owned.as_deref().map(|owned| Count(value(owned)))
}

fn seconds(nanoseconds: u64) -> Value {
    Real(api::seconds(nanoseconds))
}

/// All metrics there are.
#[rustfmt::skip]
pub const TABLE: &[Metric] = &[
    relay("process_cpu_seconds", Counter, |all| Real(all.process.cpu_seconds),
        "Processor time of the process"),
    relay("process_resident_memory_bytes", Gauge, |all| Count(all.process.resident_bytes),
        "Memory of the process that is in use"),
    relay("process_virtual_memory_bytes", Gauge, |all| Count(all.process.virtual_bytes),
        "Address space of the process"),
    relay("process_open_fds", Gauge, |all| Count(all.process.open_files),
        "Open files of the process, sockets among them"),
    relay("process_max_fds", Gauge, |all| Count(all.process.open_files_max),
        "Open files that the process may have"),
    relay("process_threads", Gauge, |all| Count(all.process.threads),
        "Threads of the process"),
    relay("process_start_time_seconds", Gauge, |all| Real(all.process.start_seconds),
        "When the process began, since 1970"),
    metric("tailwater_build", Info, Source::Build, "The version of the relay"),
    relay("tailwater_uptime_seconds", Gauge, |all| Real(all.uptime_seconds),
        "How long the relay has run"),
    relay("tailwater_draining", Gauge, |all| Count(all.draining.into()),
        "Whether the relay stops"),
    relay("tailwater_streams", Gauge, |all| Count(all.live),
        "Streams that are published, or whose publisher may come back"),
    metric("tailwater_worker_answers", Gauge, Source::Answers,
        "Whether the worker answered within a second"),
    metric("tailwater_connections", Gauge, Source::Roles,
        "Open connections by what they do; who does several things counts for each"),
    worker("tailwater_connections_accepted", Counter, |its| Count(its.accepted),
        "Connections accepted"),
    worker("tailwater_http_players", Gauge, |its| Count(its.http_players),
        "Players by HTTP and WebSocket"),
    worker("tailwater_received_bytes", Counter, |its| Count(its.bytes_in),
        "Bytes received from all connections"),
    worker("tailwater_sent_bytes", Counter, |its| Count(its.bytes_out),
        "Bytes sent to all connections"),
    worker("tailwater_admin_connections", Gauge, |its| Count(its.admin_connections),
        "Open connections to the admin listener, which are in no other figure"),
    worker("tailwater_admin_requests", Counter, |its| Count(its.admin_requests),
        "Requests to the admin listener"),
    worker("tailwater_admin_received_bytes", Counter, |its| Count(its.admin_bytes_in),
        "Bytes received by the admin listener"),
    worker("tailwater_admin_sent_bytes", Counter, |its| Count(its.admin_bytes_out),
        "Bytes sent by the admin listener"),
    worker("tailwater_messages_received", Counter, |its| Count(its.messages_in),
        "Messages published"),
    worker("tailwater_writes", Counter, |its| Count(its.writes),
        "Writes to players"),
    worker("tailwater_skips", Counter, |its| Count(its.skips),
        "Times a slow player was moved on to a key frame"),
    worker("tailwater_skipped_bytes", Counter, |its| Count(its.skipped_bytes),
        "Bytes of streams that slow players never got"),
    worker("tailwater_turns", Counter, |its| Count(its.turns),
        "Turns of the event loop"),
    worker("tailwater_polls", Counter, |its| Count(its.polls),
        "Times poll returned"),
    worker("tailwater_wakes", Counter, |its| Count(its.wakes),
        "Times another thread woke the worker"),
    worker("tailwater_letters", Counter, |its| Count(its.letters),
        "Letters from other workers"),
    worker("tailwater_mail_queue", Gauge, |its| Count(its.mail_queue),
        "The most letters that waited at one time in the last quarter of a second"),
    worker("tailwater_pace_seconds", Gauge, |its| Real(its.pace_ms as f64 / 1e3),
        "The pace in force"),
    worker("tailwater_ingress_seconds", Counter, |its| seconds(its.ingress_ns),
        "Time spent reading and parsing"),
    worker("tailwater_egress_seconds", Counter, |its| seconds(its.egress_ns),
        "Time spent in rounds of writing"),
    worker("tailwater_busy_seconds", Counter, |its| seconds(its.busy_ns),
        "Time not spent in poll"),
    worker("tailwater_held_bytes", Gauge, |its| Count(its.held_bytes),
        "Memory held for streams and connections; 0 without --memory-max"),
    worker("tailwater_pull_failures", Counter, |its| Count(its.pull_failures),
        "Times an origin could not be reached, did not have a stream or was lost"),
    worker("tailwater_violations", Counter, |its| Count(its.violations),
        "Connections closed because the peer broke the protocol or let a deadline pass"),
    worker("tailwater_bugs", Counter, |its| Count(its.bugs),
        "Panics that ended one connection"),
    worker("tailwater_reconnect_requests", Counter, |its| Count(its.reconnect_requests),
        "Clients asked to connect anew because the relay stops"),
    worker("tailwater_unlogged_lines", Counter, |its| Count(its.unlogged),
        "Lines of the log that were left out"),
    metric("tailwater_closes", Counter, Source::Closes,
        "Connections closed, by the reasons of the log"),
    metric("tailwater_refusals", Counter, Source::Refusals,
        "Requests refused: connect, publish or play, by the reasons of the log"),
    metric("tailwater_limit_hits", Counter, Source::Limits,
        "What was refused, closed or left out for a limit"),
    target("tailwater_push_streams", Gauge, |its| its.pushes,
        "Streams that the target takes"),
    target("tailwater_push_failures", Counter, |its| its.failures,
        "Times the target could not be reached, refused a stream or was lost"),
    target("tailwater_push_refusals", Counter, |its| its.refusals,
        "Times the target refused a stream"),
    target("tailwater_push_sent_bytes", Counter, |its| its.bytes_out,
        "Bytes sent to the target"),
    target("tailwater_push_skipped_bytes", Counter, |its| its.skipped_bytes,
        "Bytes of streams that the target never got because it was slow"),
    stream("tailwater_stream_publishers", Gauge,
        |its| its.owned.as_deref().map(|owned| Count((owned.state == State::Live).into())),
        "Publishers of the stream: 1, or 0 while it may come back"),
    stream("tailwater_stream_uptime_seconds", Gauge,
        |its| its.owned.as_deref().map(|owned| Real(owned.uptime.as_secs_f64())),
        "How long this life of the stream is"),
    stream("tailwater_stream_received_bytes", Counter, |its| owned(its, |own| own.bytes_in),
        "Bytes of the stream's messages, as players are sent them"),
    stream("tailwater_stream_sent_bytes", Counter, |its| Some(Count(its.bytes_out)),
        "Bytes sent to players and targets of the stream"),
    stream("tailwater_stream_messages", Counter, |its| owned(its, |own| own.messages_in),
        "Messages of the stream"),
    stream("tailwater_stream_video_frames", Counter, |its| owned(its, |own| own.video_frames),
        "Coded pictures"),
    stream("tailwater_stream_audio_frames", Counter, |its| owned(its, |own| own.audio_frames),
        "Coded audio"),
    stream("tailwater_stream_key_frames", Counter, |its| owned(its, |own| own.key_frames),
        "Pictures that a player may start at"),
    stream("tailwater_stream_key_frame_interval_seconds", Gauge,
        |its| its.owned.as_deref()?.key_interval_ms.map(|ms| Real(f64::from(ms) / 1e3)),
        "The time between the last two of these"),
    stream("tailwater_stream_players", Gauge, |its| Some(Count(its.players)),
        "Players of the stream, by whatever protocol"),
    stream("tailwater_stream_http_players", Gauge, |its| Some(Count(its.http_players)),
        "Those among them by HTTP and WebSocket"),
    stream("tailwater_stream_pushes", Gauge, |its| Some(Count(its.pushes)),
        "Targets that take the stream"),
    stream("tailwater_stream_feeds", Gauge, |its| owned(its, |own| own.feeds),
        "Workers that the stream is fed to"),
    stream("tailwater_stream_gaps", Counter, |its| owned(its, |own| own.gaps),
        "Times the publisher was away and came back"),
    stream("tailwater_stream_skips", Counter, |its| Some(Count(its.skips)),
        "Times a slow player of the stream was moved on to a key frame"),
    stream("tailwater_stream_skipped_bytes", Counter, |its| Some(Count(its.skipped_bytes)),
        "Bytes that these players never got"),
    stream("tailwater_stream_delay_seconds", Gauge,
        |its| its.delay.map(|delay| Real(delay.as_secs_f64())),
        "How long ago players were given something new, at the worker where it was longest"),
];

/// A label, and what is counted for it.
type Counted = (&'static str, fn(&Gauges) -> u64);

/// What counts against limits, by the name of the limit.
const LIMITS: [Counted; 9] = [
    ("max-connections", |its| its.refused),
    ("max-per-address", |its| its.refused_address),
    ("newcomers", |its| its.refused_newcomers),
    ("memory-max", |its| its.refused_memory),
    ("publishes", |its| its.refused_publishes),
    ("fetches", |its| its.refused_fetches),
    ("shed", |its| its.shed),
    ("headers", |its| its.unkept_headers),
    ("open-files", |its| its.accept_pauses),
];

/// What connections do.
const ROLES: [Counted; 5] = [
    ("publisher", |its| its.publishers),
    ("player", |its| its.players.saturating_sub(its.waiting)),
    ("waiting", |its| its.waiting),
    ("pull", |its| its.pulls),
    ("push", |its| its.pushes),
];

impl Metric {
    /// The name under which its values are found.
    pub fn sample(&self) -> String {
        let suffix = match self.kind {
            Counter => "_total",
            Gauge => "",
            Info => "_info",
        };
        format!("{}{suffix}", self.name)
    }

    /// Its type, as OpenMetrics has it.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Counter => "counter",
            Gauge => "gauge",
            Info => "info",
        }
    }

    /// The labels of its series.
    pub fn labels(&self) -> &'static [&'static str] {
        match self.source {
            Source::Relay(_) => &[],
            Source::Build => &["version"],
            Source::Worker(_) | Source::Answers => &["worker"],
            Source::Roles => &["worker", "role"],
            Source::Closes => &["reason"],
            Source::Refusals => &["request", "reason"],
            Source::Limits => &["limit"],
            Source::Target(_) => &["target"],
            Source::Stream(_) => &["stream"],
        }
    }
}

/// The text of all metrics.
pub fn text(answer: Answer, context: &Context<'_>, process: Process, format: Format) -> String {
    let mut registry = Registry::default();
    let figures = Figures::new(answer, context, process, format);
    registry.register_collector(Box::new(figures));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _: fmt::Result = match format {
        Format::Classic => encode_registry(&mut text, &registry),
        // The same with an end mark.
        Format::OpenMetrics => encode(&mut text, &registry),
    };
    text
}

/// What the metrics of one moment are made of.
#[derive(Debug)]
struct Figures {
    format: Format,
    process: Process,
    uptime_seconds: f64,
    draining: bool,
    live: u64,
    workers: Vec<Option<Gauges>>,
    closes: BTreeMap<&'static str, u64>,
    refusals: BTreeMap<(&'static str, &'static str), u64>,
    targets: Vec<TargetReport>,
    /// Streams with their names, those that are added up last.
    streams: Vec<(Arc<str>, StreamReport)>,
}

impl Figures {
    fn new(answer: Answer, context: &Context<'_>, process: Process, format: Format) -> Self {
        let reports = api::reports(&answer);
        let workers: Vec<_> = reports.map(|report| report.map(|its| its.gauges)).collect();
        let live = workers.iter().flatten().map(|gauges| gauges.streams).sum();
        Self {
            format,
            process,
            uptime_seconds: context.uptime.as_secs_f64(),
            draining: context.draining,
            live,
            workers,
            closes: api::closes(&answer),
            refusals: api::refusals(&answer),
            targets: api::targets(&answer),
            streams: streams(answer),
        }
    }

    fn gauges(&self) -> impl Iterator<Item = (String, &Gauges)> {
        let workers = self.workers.iter().enumerate();
        workers.filter_map(|(worker, gauges)| Some((worker.to_string(), gauges.as_ref()?)))
    }

    fn write(&self, metric: &Metric, mut out: MetricEncoder<'_>) -> fmt::Result {
        let kind = match self.format {
            // The name has its suffix already.
            Format::Classic => Gauge,
            Format::OpenMetrics => metric.kind,
        };
        let mut put = |labels: &[(&str, &str)], value| put(kind, &mut out, labels, value);
        match metric.source {
            Source::Build if self.format == Format::OpenMetrics => {
                out.encode_info(&[("version", VERSION)])
            }
            Source::Build => put(&[("version", VERSION)], Count(1)),
            Source::Relay(value) => put(&[], value(self)),
            Source::Worker(value) => self
                .gauges()
                .try_for_each(|(worker, gauges)| put(&[("worker", &worker)], value(gauges))),
            Source::Answers => {
                let mut workers = self.workers.iter().enumerate();
                workers.try_for_each(|(worker, gauges)| {
                    let answers = Count(gauges.is_some().into());
                    put(&[("worker", &worker.to_string())], answers)
                })
            }
            Source::Roles => self.gauges().try_for_each(|(worker, gauges)| {
                ROLES.iter().try_for_each(|(role, count)| {
                    let labels = [("worker", &*worker), ("role", role)];
                    put(&labels, Count(count(gauges)))
                })
            }),
            Source::Closes => self
                .closes
                .iter()
                .try_for_each(|(code, count)| put(&[("reason", code)], Count(*count))),
            Source::Refusals => self.refusals.iter().try_for_each(|((asked, code), count)| {
                put(&[("request", asked), ("reason", code)], Count(*count))
            }),
            Source::Limits => LIMITS.iter().try_for_each(|(limit, count)| {
                let hits = self.workers.iter().flatten().map(count).sum();
                put(&[("limit", limit)], Count(hits))
            }),
            Source::Target(value) => self
                .targets
                .iter()
                .try_for_each(|its| put(&[("target", &its.target)], Count(value(its)))),
            Source::Stream(value) => {
                self.streams
                    .iter()
                    .try_for_each(|(name, report)| match value(report) {
                        Some(value) => put(&[("stream", name)], value),
                        None => Ok(()),
                    })
            }
        }
    }
}

fn put(
    kind: Kind,
    out: &mut MetricEncoder<'_>,
    labels: &[(&str, &str)],
    value: Value,
) -> fmt::Result {
    if labels.is_empty() {
        return put_value(kind, out, value);
    }
    put_family(kind, out, &labels, value)
}

fn put_family(
    kind: Kind,
    out: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: Value,
) -> fmt::Result {
    put_value(kind, &mut out.encode_family(labels)?, value)
}

fn put_value(kind: Kind, out: &mut MetricEncoder<'_>, value: Value) -> fmt::Result {
    match kind {
        Counter => out.encode_counter::<NoLabelSet, _, f64>(&value, None),
        Gauge | Info => out.encode_gauge(&value),
    }
}

/// The streams of all workers, added up by name; those beyond the limit as one.
fn streams(answer: Answer) -> Vec<(Arc<str>, StreamReport)> {
    let mut by_name: BTreeMap<Arc<str>, StreamReport> = BTreeMap::new();
    let mut others = StreamReport::default();
    let mut has_others = false;
    for told in answer.told.into_iter().flatten() {
        let Told::Worker(report) = told else { continue };
        for stream in &report.streams {
            by_name.entry(stream.name.clone()).or_default().add(stream);
        }
        others.add(&report.others);
        has_others |= report.others.epoch > 0;
    }
    let mut streams: Vec<_> = by_name.into_iter().collect();
    if streams.len() > limits::METRIC_STREAMS_MAX {
        streams.sort_by_key(|(_, report)| report.epoch);
        for (_, report) in streams.drain(limits::METRIC_STREAMS_MAX..) {
            others.add(&report);
        }
        has_others = true;
    }
    if has_others {
        streams.push((OTHERS.into(), others));
    }
    streams
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in TABLE {
            let kind = match (metric.kind, self.format) {
                (Counter, _) => MetricType::Counter,
                (Info, Format::OpenMetrics) => MetricType::Info,
                (Gauge | Info, _) => MetricType::Gauge,
            };
            // OpenMetrics announces a family by its name without the suffix of its samples.
            let name = match self.format {
                Format::Classic => metric.sample(),
                Format::OpenMetrics => metric.name.to_owned(),
            };
            let out = encoder.encode_descriptor(&name, metric.help, None, kind)?;
            self.write(metric, out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
