//! Figures for Prometheus, in its classic text format or, for a client that asks for it, in that of
//! OpenMetrics 1.0. Tables say what there is, that of counters in stats.rs; the text, and the table
//! in README.md (`tests/tables.rs`), are made of them.
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
use super::{Context, Counters, json};
use crate::limits;
use crate::stats::{Gauges, OwnedGauges, Row, StreamGauges, TargetGauges, seconds};
use crate::worker::query::{State, StreamRow, Told};

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
    /// Its type, as OpenMetrics has it.
    pub kind: MetricType,
    source: Source,
    /// What it says, as `# HELP` and the README have it.
    pub help: &'static str,
}

/// Where the values come from, which decides on the labels.
#[derive(Clone, Copy, Debug)]
enum Source {
    Build,
    Relay(fn(&Figures) -> Value),
    /// Of each worker that answers, a row of `Gauges`.
    Worker(usize),
    /// Whether each worker answers.
    Answers,
    /// Of each worker, by role.
    Roles,
    Closes,
    /// By request and reason.
    Refusals,
    Limits,
    /// Of each target, a row of `TargetGauges`.
    Target(usize),
    /// Of each stream; None makes no series.
    Stream(fn(&StreamRow) -> Option<Value>),
    /// Of each stream, a row of `StreamGauges`.
    StreamRow(usize),
    /// Of each stream that comes in somewhere, a row of `OwnedGauges`.
    OwnedRow(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Count(u64),
    Real(f64),
}

use MetricType::{Counter, Gauge, Info};
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

const fn metric(
    name: &'static str,
    kind: MetricType,
    source: Source,
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        source,
        help,
    }
}

const fn relay(
    name: &'static str,
    kind: MetricType,
    value: fn(&Figures) -> Value,
    help: &'static str,
) -> Metric {
    metric(name, kind, Source::Relay(value), help)
}

const fn stream(
    name: &'static str,
    kind: MetricType,
    value: fn(&StreamRow) -> Option<Value>,
    help: &'static str,
) -> Metric {
    metric(name, kind, Source::Stream(value), help)
}

/// What is told of the process and the relay.
#[rustfmt::skip]
const RELAY: &[Metric] = &[
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
    relay("tailwater_admin_connections", Gauge, |all| Count(all.admin.connections),
        "Open connections to the admin listener, which are in no other figure"),
    relay("tailwater_admin_requests", Counter, |all| Count(all.admin.requests),
        "Requests to the admin listener"),
    relay("tailwater_admin_received_bytes", Counter, |all| Count(all.admin.bytes_in),
        "Bytes received by the admin listener"),
    relay("tailwater_admin_sent_bytes", Counter, |all| Count(all.admin.bytes_out),
        "Bytes sent by the admin listener"),
];

/// The others beside what each worker counts.
#[rustfmt::skip]
const SUMS: &[Metric] = &[
    metric("tailwater_closes", Counter, Source::Closes,
        "Connections closed, by the reasons of the log"),
    metric("tailwater_refusals", Counter, Source::Refusals,
        "Requests refused: connect, publish or play, by the reasons of the log"),
    metric("tailwater_limit_hits", Counter, Source::Limits,
        "What was refused, closed or left out for a limit"),
];

/// What is told of each stream.
#[rustfmt::skip]
const STREAMS: &[Metric] = &[
    stream("tailwater_stream_publishers", Gauge,
        |its| its.owned.as_ref().map(|owned| Count((owned.state == State::Live).into())),
        "Publishers of the stream: 1, or 0 while it may come back"),
    stream("tailwater_stream_uptime_seconds", Gauge,
        |its| its.owned.as_ref().map(|owned| Real(owned.uptime.as_secs_f64())),
        "How long this life of the stream is"),
    stream("tailwater_stream_key_frame_interval_seconds", Gauge,
        |its| its.owned.as_ref()?.key_interval_ms.map(|ms| Real(f64::from(ms) / 1e3)),
        "The time between the last two key frames"),
    stream("tailwater_stream_delay_seconds", Gauge,
        |its| its.delay.map(|delay| Real(delay.as_secs_f64())),
        "How long ago players were given something new, at the worker where it was longest"),
];

/// All metrics there are.
pub fn table() -> Vec<Metric> {
    let workers = counters(Gauges::ROWS, Source::Worker);
    let targets = counters(TargetGauges::ROWS, Source::Target);
    let streams = counters(StreamGauges::ROWS, Source::StreamRow);
    let owned = counters(OwnedGauges::ROWS, Source::OwnedRow);
    let (relay, sums, of_streams) = (RELAY.to_vec(), SUMS.to_vec(), STREAMS.to_vec());
    [relay, workers, sums, targets, of_streams, streams, owned].concat()
}

/// The metrics among counters; `source` takes the number of the row.
fn counters(rows: &'static [Row], source: fn(usize) -> Source) -> Vec<Metric> {
    let rows = rows.iter().enumerate();
    let metrics = rows.filter_map(|(number, row)| {
        let kind = if row.is_total { Counter } else { Gauge };
        Some(metric(row.metric?, kind, source(number), row.help))
    });
    metrics.collect()
}

/// The number of a row in the unit of metrics.
fn in_unit((row, number): (&Row, u64)) -> Value {
    match row.name.rsplit_once('_') {
        Some((_, "ns")) => Real(seconds(number)),
        Some((_, "ms")) => Real(number as f64 / 1e3),
        _ => Count(number),
    }
}

/// A label, and what is counted for it.
type Counted = (&'static str, fn(&Gauges) -> u64);

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
            Info => "_info",
            _ => "",
        };
        format!("{}{suffix}", self.name)
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
            Source::Stream(_) | Source::StreamRow(_) | Source::OwnedRow(_) => &["stream"],
        }
    }
}

/// The text of all metrics.
pub(super) fn text(
    told: Vec<Option<Told>>,
    context: &Context<'_>,
    process: Process,
    format: Format,
) -> String {
    let mut registry = Registry::default();
    let figures = Figures::new(told, context, process, format);
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
    admin: Counters,
    live: u64,
    workers: Vec<Option<Gauges>>,
    closes: BTreeMap<&'static str, u64>,
    refusals: BTreeMap<(&'static str, &'static str), u64>,
    /// With what they are called.
    targets: Vec<(String, TargetGauges)>,
    /// Streams with their names, those that are added up last.
    streams: Vec<(Arc<str>, StreamRow)>,
}

impl Figures {
    fn new(
        told: Vec<Option<Told>>,
        context: &Context<'_>,
        process: Process,
        format: Format,
    ) -> Self {
        let reports = json::reports(&told);
        let workers: Vec<_> = reports.map(|report| report.map(|its| its.gauges)).collect();
        let live = workers.iter().flatten().map(|gauges| gauges.streams).sum();
        let targets = context.targets.iter().cloned();
        Self {
            format,
            process,
            uptime_seconds: context.uptime.as_secs_f64(),
            draining: context.draining,
            admin: context.counters,
            live,
            workers,
            closes: json::closes(&told),
            refusals: json::refusals(&told),
            targets: targets.zip(json::targets(&told, context)).collect(),
            streams: streams(told),
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
        let names = metric.labels().iter().copied();
        let mut put = |values: &[&str], value| {
            let labels: Vec<_> = names.clone().zip(values.iter().copied()).collect();
            put(kind, &mut out, &labels, value)
        };
        match metric.source {
            Source::Build if self.format == Format::OpenMetrics => {
                out.encode_info(&[("version", VERSION)])
            }
            Source::Build => put(&[VERSION], Count(1)),
            Source::Relay(value) => put(&[], value(self)),
            Source::Worker(row) => self
                .gauges()
                .try_for_each(|(worker, gauges)| put(&[&worker], in_unit(gauges.row(row)))),
            Source::Answers => {
                let mut workers = self.workers.iter().enumerate();
                workers.try_for_each(|(worker, gauges)| {
                    put(&[&worker.to_string()], Count(gauges.is_some().into()))
                })
            }
            Source::Roles => self.gauges().try_for_each(|(worker, gauges)| {
                let mut roles = ROLES.iter();
                roles.try_for_each(|(role, count)| put(&[&worker, role], Count(count(gauges))))
            }),
            Source::Closes => self
                .closes
                .iter()
                .try_for_each(|(code, count)| put(&[code], Count(*count))),
            Source::Refusals => self
                .refusals
                .iter()
                .try_for_each(|((asked, code), count)| put(&[asked, code], Count(*count))),
            Source::Limits => {
                let limits = Gauges::ROWS.iter().map(|row| row.limit).enumerate();
                let mut limits = limits.filter_map(|(row, limit)| Some((row, limit?)));
                limits.try_for_each(|(row, limit)| {
                    let workers = self.workers.iter().flatten();
                    let hits = workers.map(|gauges| gauges.row(row).1).sum();
                    put(&[limit], Count(hits))
                })
            }
            Source::Target(row) => self
                .targets
                .iter()
                .try_for_each(|(target, its)| put(&[target], in_unit(its.row(row)))),
            Source::Stream(value) => self.write_streams(put, value),
            Source::StreamRow(row) => {
                self.write_streams(put, |its| Some(in_unit(its.gauges.row(row))))
            }
            Source::OwnedRow(row) => {
                self.write_streams(put, |its| Some(in_unit(its.owned?.gauges.row(row))))
            }
        }
    }

    /// A value of each stream that has it.
    fn write_streams(
        &self,
        mut put: impl FnMut(&[&str], Value) -> fmt::Result,
        value: impl Fn(&StreamRow) -> Option<Value>,
    ) -> fmt::Result {
        let mut streams = self.streams.iter();
        streams.try_for_each(|(name, row)| match value(row) {
            Some(value) => put(&[name], value),
            None => Ok(()),
        })
    }
}

fn put(
    kind: MetricType,
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
    kind: MetricType,
    out: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: Value,
) -> fmt::Result {
    put_value(kind, &mut out.encode_family(labels)?, value)
}

fn put_value(kind: MetricType, out: &mut MetricEncoder<'_>, value: Value) -> fmt::Result {
    match kind {
        Counter => out.encode_counter::<NoLabelSet, _, f64>(&value, None),
        _ => out.encode_gauge(&value),
    }
}

/// The streams that were ever published, added up by name; those beyond the limit as one. Names
/// that nobody has published come from strangers and are told to nobody.
fn streams(told: Vec<Option<Told>>) -> Vec<(Arc<str>, StreamRow)> {
    let mut by_name: BTreeMap<Arc<str>, StreamRow> = BTreeMap::new();
    let is_known = |row: &&StreamRow| {
        let state = row.owned.map(|owned| owned.state);
        !matches!(state, Some(State::Pulling | State::Waiting))
    };
    for told in told.into_iter().flatten() {
        let Told::Worker(report) = told else { continue };
        for row in report.streams.iter().filter(is_known) {
            by_name.entry(row.name.clone()).or_default().add(row);
        }
    }
    let mut streams: Vec<_> = by_name.into_iter().collect();
    if streams.len() > limits::METRIC_STREAMS_MAX {
        streams.sort_by_key(|(_, row)| row.epoch);
        let mut others = StreamRow::default();
        for (_, row) in streams.drain(limits::METRIC_STREAMS_MAX..) {
            others.add(&row);
        }
        streams.push((OTHERS.into(), others));
    }
    streams
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in table() {
            let kind = match (metric.kind, self.format) {
                (Info, Format::Classic) => Gauge,
                (kind, _) => kind,
            };
            // OpenMetrics announces a family by its name without the suffix of its samples.
            let name = match self.format {
                Format::Classic => metric.sample(),
                Format::OpenMetrics => metric.name.to_owned(),
            };
            let out = encoder.encode_descriptor(&name, metric.help, None, kind)?;
            self.write(&metric, out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
