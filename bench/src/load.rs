//! `load`: publishers and players against a server given by URL, with players by RTMP, by
//! HTTP-FLV or by both, and maybe somebody who collects its figures.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use tailwater::net::tls::ClientTls;

use crate::advice;
use crate::client::{Server, Wire};
use crate::flags::{Flag, FlagError, Values, flag};
use crate::generator::{Generator, Outcome};
use crate::measure;
use crate::media::Shape;
use crate::plan::{HttpPlayers, Plan};
use crate::report::Report;
use crate::scrape::Scrape;
use crate::subcommand::{self, End, say};
use crate::url::{Scheme, Url};
use crate::verdict::{self, Patience};

const ABOUT: &str = "\
usage: tailwater-bench load [--url URL] [--publishers P] [--players N] ...

Publishes synthetic streams (H.264 and AAC that decoders take) to an RTMP server and plays them
from it, by RTMP or HTTP-FLV, for a few seconds, in real time. A few players check every message;
the others drop what they receive in the kernel, so that one core can stand for thousands of
players.";

const EXAMPLES: &str = "\
phases: publishers connect; one second of rest; players join; warm-up; measurement; table.

Server CPU comes from /proc and is found by the listening port, so the server has to run on this
machine for those figures. Put it on another core than the generator:

  taskset -c 0 tailwater --listen 127.0.0.1:1935 --pace 0 &
  tailwater-bench load --players 500 --cpu 1

  tailwater-bench load --publishers 500 --players 0 --cpu 1      ingest only
  tailwater-bench load --players 100 --storm 5000 --cpu 1        a storm of joins
  tailwater-bench load --players 2000 --stall 500 --cpu 1        a quarter never reads
  tailwater-bench load --play-url rtmps://127.0.0.1:1936/live --tls-ca ca.pem    players over TLS
  tailwater-bench load --play-url http://127.0.0.1:8080/live      players by HTTP-FLV
  tailwater-bench load --players 2000 --http-url http://127.0.0.1:8080/live --http-players 2000
                                                                  both kinds
  tailwater-bench load --scrape http://127.0.0.1:9090/metrics,http://127.0.0.1:9090/api/v1/streams

exit status: 0 figures were reported; 1 the load could not be put on; 2 wrong flags;
3 refused: the generator itself was the bottleneck, so that figures would be its own.";

/// Flags that shape the load; the floor has them too.
pub const SHARED_FLAGS: [Flag; 14] = [
    flag("players", "N", "10", "Players, over all streams."),
    flag(
        "checked",
        "K",
        "8",
        "Players that check every message, of each kind their share; at most all of them.",
    ),
    flag(
        "bitrate",
        "BITS",
        "600k",
        "Bits a second of one stream, audio included.",
    ),
    flag(
        "frame-rate",
        "N",
        "25",
        "Video messages a second; audio has 43.",
    ),
    flag(
        "key-interval",
        "N",
        "50",
        "Frames from one key frame to the next.",
    ),
    flag("ramp", "N", "1000", "New connections a second."),
    flag(
        "warm-up",
        "S",
        "3",
        "Seconds from the last join to the measurement.",
    ),
    flag("seconds", "S", "10", "Seconds measured."),
    flag("cpu", "N", "", "Pin the generator to this core."),
    flag(
        "late-max",
        "MS",
        "20",
        "Refuse when one message in a hundred was sent this late.",
    ),
    flag(
        "busy-max",
        "PERCENT",
        "90",
        "Refuse when the generator used more of its core.",
    ),
    flag(
        "json",
        "FILE",
        "",
        "Write the figures as JSON, too; - is standard output.",
    ),
    flag("quiet", "", "", "No progress lines."),
    flag("note", "TEXT", "", "Put into the JSON as it is."),
];

/// The flags of this subcommand alone.
pub(crate) const FLAGS: [Flag; 13] = [
    flag(
        "url",
        "URL",
        "rtmp://127.0.0.1:1935/live",
        "The server and application; rtmps:// for TLS.",
    ),
    flag(
        "play-url",
        "URL",
        "",
        "Play from here instead, such as an edge of --url, or its TLS listener; with http:// the \
         players take FLV by HTTP.",
    ),
    flag(
        "http-url",
        "URL",
        "",
        "Where --http-players play: http://HOST[:PORT]/APP, streams are at /APP/NAME.flv.",
    ),
    flag(
        "http-players",
        "N",
        "0",
        "More players, by HTTP-FLV, in turn with --players.",
    ),
    flag(
        "scrape",
        "URLS",
        "",
        "Ask for these each second while measuring, separated by commas, such as figures at an \
         admin port. An answer other than 200 ends the run.",
    ),
    flag(
        "tls-ca",
        "FILE",
        "",
        "Whom to trust in rtmps://, as PEM (default: what the system trusts)",
    ),
    flag(
        "name",
        "NAME",
        "",
        "Streams are NAME-0, NAME-1 ... (default: bench and the process id)",
    ),
    flag(
        "publishers",
        "P",
        "1",
        "Streams, each with a publisher; players are spread over them.",
    ),
    flag(
        "stall",
        "N",
        "0",
        "Of the players, how many never read once they play.",
    ),
    flag(
        "storm",
        "N",
        "0",
        "More players, which join within one second while measuring.",
    ),
    flag(
        "chunk-size",
        "BYTES",
        "4096",
        "Chunk size of the publishers.",
    ),
    flag(
        "idle",
        "",
        "",
        "Publishers send headers and no media; players have joined when they play.",
    ),
    flag(
        "server-pid",
        "PIDS",
        "",
        "Measure these processes, separated by commas.",
    ),
];

/// Runs the subcommand.
pub fn run(arguments: &[String]) -> End {
    let flags: Vec<Flag> = FLAGS.into_iter().chain(SHARED_FLAGS).collect();
    subcommand::run(&flags, arguments, ABOUT, EXAMPLES, |values| {
        measure_and_report(plan(values)?, values, "load")
    })
}

/// What the flags ask for.
///
/// # Errors
/// A value is out of range.
pub(crate) fn plan(values: &Values) -> Result<Plan, FlagError> {
    let (url, publish_to) = server(values, "url", &[Scheme::Rtmp, Scheme::Rtmps])?;
    let (play_url, play_from) = match values.optional("play-url") {
        Some(_) => server(
            values,
            "play-url",
            &[Scheme::Rtmp, Scheme::Rtmps, Scheme::Http],
        )?,
        None => (url.clone(), publish_to.clone()),
    };
    if play_url.path != url.path {
        return Err(values.wrong("play-url", "the same app as in --url"));
    }
    let http = http_players(values, &url.path)?;
    let name = values.optional("name").map(str::to_owned);
    let publishers = values.count("publishers", 1..=20_000)?;
    let mut plan = Plan {
        publish_to,
        play_from,
        name: name.unwrap_or_else(|| format!("bench-{}", std::process::id())),
        publishes: true,
        scrape: scrape(values)?,
        storm: values.count("storm", 0..=50_000)?,
        idle: values.is_set("idle"),
        chunk_size: values.count("chunk-size", 128..=0xFF_FFFF)?,
        ..shared_plan(values, publishers)?
    };
    plan.players += http.as_ref().map_or(0, |http| http.count);
    plan.http = http;
    plan.stalled = values.count("stall", 0..=plan.players)?;
    let checked = values.count("checked", 0..=100_000)?;
    plan.checked = checked.min(plan.players - plan.stalled);
    plan.server_pids = server_pids(values, &plan)?;
    Ok(plan)
}

/// The part of a plan that [`SHARED_FLAGS`] tell, for `streams` streams; the rest is empty.
///
/// # Errors
/// A value is out of range.
pub fn shared_plan(values: &Values, streams: usize) -> Result<Plan, FlagError> {
    let nowhere = Server {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        wire: Wire::Bare { chunk_size: 65_536 },
    };
    let players = values.count("players", 0..=100_000)?;
    Ok(Plan {
        publish_to: nowhere.clone(),
        play_from: nowhere,
        name: String::new(),
        streams,
        publishes: false,
        players,
        http: None,
        scrape: None,
        stalled: 0,
        checked: values.count("checked", 0..=100_000)?.min(players),
        storm: 0,
        ramp: values.number("ramp", 1..=100_000)?,
        warm_up: values.number("warm-up", 0..=3_600)?,
        seconds: values.number("seconds", 1..=86_400)?,
        shape: shape(values)?,
        idle: false,
        chunk_size: 4_096,
        server_pids: Vec::new(),
    })
}

/// What the streams look like.
///
/// # Errors
/// A value is out of range.
pub fn shape(values: &Values) -> Result<Shape, FlagError> {
    Ok(Shape {
        bitrate: values.number("bitrate", 50_000..=200_000_000)?,
        frame_rate: values.number("frame-rate", 1..=240)?,
        key_interval: values.number("key-interval", 1..=10_000)?,
    })
}

fn server_pids(values: &Values, plan: &Plan) -> Result<Vec<u32>, FlagError> {
    if let Some(list) = values.optional("server-pid") {
        let pids: Result<Vec<u32>, _> = list.split(',').map(str::parse).collect();
        let pids = pids.map_err(|_| values.wrong("server-pid", "process ids"))?;
        measure::usage(&pids).map_err(|_| values.wrong("server-pid", "running processes"))?;
        return Ok(pids);
    }
    let players = match plan.players {
        0 => &plan.publish_to,
        _ => &plan.play_from,
    };
    let http = plan.http.iter().map(|http| &http.play_from);
    let mut pids: Vec<u32> = std::iter::once(players)
        .chain(http)
        .filter(|server| server.address.ip().is_loopback())
        .flat_map(|server| measure::listeners(server.address.port()))
        .collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Puts the load on and reports.
///
/// # Errors
/// A value is out of range, the load could not be put on, or nothing may be reported.
pub(crate) fn measure_and_report(plan: Plan, values: &Values, command: &str) -> Result<(), End> {
    let patience = patience(values)?;
    prepare_process(values)?;
    if plan.server_pids.is_empty() {
        eprintln!("no process of this machine listens there: its CPU and memory are not measured");
    }
    let outcome = put_on(&plan, values)?;
    let refused = verdict::refusals(&outcome, &patience);
    let mut report = verdict::report(&plan, &outcome);
    if plan.server_pids.is_empty() {
        report = report.without(|key| {
            key.starts_with("server") || key.contains("cpu_") || key.starts_with("rss")
        });
    }
    let json = to_json(command, values, &plan, &report, &refused, &outcome);
    subcommand::write_json(values, &json)?;
    if !refused.is_empty() {
        return Err(End::Refused(refused));
    }
    if values.text("json") != "-" {
        say(&report.table());
    }
    if let Some(why) = &outcome.closed_why {
        eprintln!(
            "{} connections closed early; the first: {}",
            outcome.closed,
            advice::with_advice(why)
        );
    }
    Ok(())
}

/// Puts the load on, with lines of progress unless `--quiet` is set.
///
/// # Errors
/// It could not be put on.
pub(crate) fn put_on(plan: &Plan, values: &Values) -> Result<Outcome, End> {
    let is_quiet = values.is_set("quiet");
    let progress = |line: &str| {
        if !is_quiet {
            eprintln!("{line}");
        }
    };
    Generator::new(plan.clone())?
        .run(progress)
        .map_err(End::Failed)
}

/// How busy and how late the generator may be.
///
/// # Errors
/// A value is out of range.
pub(crate) fn patience(values: &Values) -> Result<Patience, FlagError> {
    Ok(Patience {
        busy_max: values.number("busy-max", 1..=100)? as f64 / 100.0,
        late_ms_max: values.number("late-max", 1..=10_000)? as f64,
    })
}

/// Pins and raises the limit of open files, as asked.
pub(crate) fn prepare_process(values: &Values) -> Result<(), End> {
    tailwater::net::process::raise_open_files();
    if values.optional("cpu").is_some() {
        let cpu = values.count("cpu", 0..=1_023)?;
        tailwater::net::process::pin_thread(cpu)
            .map_err(|error| End::Usage(format!("--cpu: no core {cpu} for us: {error}")))?;
    }
    Ok(())
}

/// The figures, or why there are none.
fn to_json(
    command: &str,
    values: &Values,
    plan: &Plan,
    report: &Report,
    refused: &[String],
    outcome: &Outcome,
) -> Value {
    let mut all = Map::new();
    all.insert("command".into(), command.into());
    if let Some(note) = values.optional("note") {
        all.insert("note".into(), note.into());
    }
    all.insert(
        "plan".into(),
        json!({
            "streams": plan.streams,
            "players": plan.players,
            "http_players": plan.http.as_ref().map_or(0, |http| http.count),
            "http": matches!(plan.play_from.wire, Wire::Flv { .. }),
            "scrape": plan.scrape.as_ref().map(|scrape| scrape.paths.join(",")),
            "tls": plan.play_from.tls.is_some(),
            "stall": plan.stalled,
            "storm": plan.storm,
            "bitrate": plan.shape.bitrate,
            "frame_rate": plan.shape.frame_rate,
            "key_interval": plan.shape.key_interval,
        }),
    );
    if refused.is_empty() {
        all.insert("figures".into(), report.json().into());
    } else {
        all.insert("refused".into(), refused.into());
    }
    if let Some(why) = &outcome.closed_why {
        all.insert("closed_why".into(), why.as_str().into());
    }
    Value::Object(all)
}

/// The URL that `flag` tells, if its scheme is one of `schemes`, and the server there.
fn server(values: &Values, flag: &str, schemes: &[Scheme]) -> Result<(Url, Server), FlagError> {
    let url = Url::parse(values.text(flag)).filter(|url| schemes.contains(&url.scheme));
    let url = url.ok_or_else(|| {
        let known = match schemes {
            [Scheme::Http] => "http://HOST[:PORT]/APP",
            _ if schemes.contains(&Scheme::Http) => "rtmp://HOST[:PORT]/APP, rtmps:// or http://",
            _ => "rtmp://HOST[:PORT]/APP or rtmps://",
        };
        values.wrong(flag, known)
    })?;
    let tls = match url.scheme {
        Scheme::Rtmps => {
            let named = trust(values)?.name(url.name());
            Some(named.ok_or_else(|| values.wrong(flag, "a host that TLS has names for"))?)
        }
        Scheme::Rtmp | Scheme::Http => None,
    };
    let app = url.path.clone();
    let wire = match url.scheme {
        Scheme::Http => Wire::Flv {
            app,
            host: url.host.clone(),
        },
        Scheme::Rtmp | Scheme::Rtmps => Wire::Rtmp {
            app,
            tc_url: url.text.clone(),
        },
    };
    let server = Server {
        address: url.address,
        tls,
        wire,
    };
    Ok((url, server))
}

/// Players by HTTP beside the others.
fn http_players(values: &Values, app: &str) -> Result<Option<HttpPlayers>, FlagError> {
    let count = values.count("http-players", 0..=100_000)?;
    if values.optional("http-url").is_none() {
        return match count {
            0 => Ok(None),
            _ => Err(values.wrong("http-players", "--http-url as well")),
        };
    }
    let (url, play_from) = server(values, "http-url", &[Scheme::Http])?;
    if url.path != app {
        return Err(values.wrong("http-url", "the same app as in --url"));
    }
    let players = HttpPlayers { play_from, count };
    Ok((count > 0).then_some(players))
}

/// Who asks for figures.
fn scrape(values: &Values) -> Result<Option<Scrape>, FlagError> {
    let Some(list) = values.optional("scrape") else {
        return Ok(None);
    };
    let urls: Option<Vec<Url>> = list.split(',').map(Url::parse).collect();
    let urls = urls.filter(|urls| urls.iter().all(|url| url.scheme == Scheme::Http));
    match urls.as_deref() {
        Some([first, others @ ..]) if others.iter().all(|url| url.host == first.host) => {
            let paths = urls.iter().flatten().map(|url| format!("/{}", url.path));
            Ok(Some(Scrape {
                address: first.address,
                host: first.host.clone(),
                paths: paths.collect(),
            }))
        }
        _ => Err(values.wrong("scrape", "http://HOST[:PORT]/PATH,... of one host")),
    }
}

/// Whom rtmps:// trusts.
fn trust(values: &Values) -> Result<ClientTls, FlagError> {
    let authorities: Vec<PathBuf> = values
        .optional("tls-ca")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let tls = ClientTls::new(&authorities).map_err(|error| FlagError {
        flag: "tls-ca".to_owned(),
        reason: error.to_string(),
    })?;
    // Players are strangers to each other.
    Ok(tls.without_resumption())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Asked, read};

    fn plan_of(line: &[&str]) -> Result<Plan, FlagError> {
        plan(&values_of(line)?)
    }

    fn values_of(line: &[&str]) -> Result<Values, FlagError> {
        let flags: Vec<Flag> = FLAGS.into_iter().chain(SHARED_FLAGS).collect();
        let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        match read(&flags, &line, ABOUT, EXAMPLES)? {
            Asked::Run(values) => Ok(values),
            Asked::Help(text) => panic!("{text}"),
        }
    }

    #[test]
    fn a_url_tells_address_app_and_what_is_spoken() {
        let plan = plan_of(&["--url", "rtmp://127.0.0.1/a/b/"]).unwrap();
        assert_eq!(plan.publish_to.address, "127.0.0.1:1935".parse().unwrap());
        assert_eq!(plan.play_from.address, plan.publish_to.address);
        let Wire::Rtmp { app, tc_url } = plan.play_from.wire else {
            panic!("no rtmp");
        };
        assert_eq!((&*app, &*tc_url), ("a/b", "rtmp://127.0.0.1/a/b"));
        let plan = plan_of(&["--play-url", "http://127.0.0.1:8080/live"]).unwrap();
        let Wire::Flv { app, host } = plan.play_from.wire else {
            panic!("no http");
        };
        assert_eq!((&*app, &*host), ("live", "127.0.0.1:8080"));
        for line in [
            ["--url", "http://127.0.0.1/live"],
            ["--play-url", "http://127.0.0.1/other"],
            ["--http-url", "rtmp://127.0.0.1/live"],
            ["--http-url", "http://127.0.0.1/other"],
            ["--http-players", "5"],
        ] {
            assert_eq!(plan_of(&line).unwrap_err().flag, line[0][2..], "{line:?}");
        }
    }

    #[test]
    fn who_is_to_be_trusted_has_to_be_there() {
        let error = plan_of(&["--url", "rtmps://[::1]/x", "--tls-ca", "/nowhere"]).unwrap_err();
        assert_eq!(error.flag, "tls-ca");
    }

    #[test]
    fn players_by_http_are_more_players() {
        let http = ["--http-url", "http://127.0.0.1:8080/live", "--http-players"];
        let line = [&["--players", "5"][..], &http, &["7", "--stall", "12"]].concat();
        let plan = plan_of(&line).unwrap();
        assert_eq!((plan.players, plan.stalled, plan.checked), (12, 12, 0));
        assert_eq!(plan.http.unwrap().count, 7);
        assert!(
            plan_of(&[&http[..], &["0"]].concat())
                .unwrap()
                .http
                .is_none()
        );
    }

    #[test]
    fn figures_are_asked_for_at_one_host() {
        let both = "http://127.0.0.1:9090/metrics,http://127.0.0.1:9090/api/v1/streams";
        let scrape = plan_of(&["--scrape", both]).unwrap().scrape.unwrap();
        assert_eq!(scrape.paths, ["/metrics", "/api/v1/streams"]);
        assert_eq!(scrape.host, "127.0.0.1:9090");
        for wrong in [
            "http://127.0.0.1:1/a,http://127.0.0.1:2/a",
            "rtmp://127.0.0.1/a",
            "a",
        ] {
            assert!(plan_of(&["--scrape", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn players_that_stall_are_players_and_are_not_checked() {
        let plan = plan_of(&["--players", "5", "--stall", "3", "--checked", "9"]).unwrap();
        assert_eq!((plan.players, plan.stalled, plan.checked), (5, 3, 2));
        assert!(plan_of(&["--players", "5", "--stall", "6"]).is_err());
    }
}
