//! `load`: publishers and players against an RTMP server given by URL.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use tailwater::net::tls::ClientTls;

use crate::client::{Server, Wire};
use crate::flags::{Flag, FlagError, Values, flag};
use crate::generator::{Generator, Outcome};
use crate::measure;
use crate::media::Shape;
use crate::plan::Plan;
use crate::report::Report;
use crate::subcommand::{self, End, say};
use crate::verdict::{self, Patience};

const ABOUT: &str = "\
usage: tailwater-bench load [--url URL] [--publishers P] [--players N] ...

Publishes synthetic streams (H.264 and AAC that decoders take) to an RTMP server and plays them
from it, for a few seconds, in real time. A few players check every message; the others drop what
they receive in the kernel, so that one core can stand for thousands of players.";

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

exit status: 0 figures were reported; 1 the load could not be put on; 2 wrong flags;
3 refused: the generator itself was the bottleneck, so that figures would be its own.";

/// Flags that shape the load; the floor has them too.
pub const SHARED_FLAGS: [Flag; 14] = [
    flag("players", "N", "10", "Players, over all streams."),
    flag(
        "checked",
        "K",
        "8",
        "Players that check every message; at most all of them.",
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
pub(crate) const FLAGS: [Flag; 10] = [
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
        "Play from here instead, such as an edge of --url, or its TLS listener.",
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
    let url = Url::parse(values, "url")?;
    let play_url = match values.optional("play-url") {
        Some(_) => Url::parse(values, "play-url")?,
        None => url.clone(),
    };
    if play_url.app != url.app {
        return Err(values.wrong("play-url", "the same app as in --url"));
    }
    let name = values.optional("name").map(str::to_owned);
    let publishers = values.count("publishers", 1..=20_000)?;
    let mut plan = Plan {
        publish_to: url.server(values)?,
        play_from: play_url.server(values)?,
        name: name.unwrap_or_else(|| format!("bench-{}", std::process::id())),
        publishes: true,
        stalled: values.count("stall", 0..=values.count("players", 0..=100_000)?)?,
        storm: values.count("storm", 0..=50_000)?,
        idle: values.is_set("idle"),
        chunk_size: values.count("chunk-size", 128..=0xFF_FFFF)?,
        ..shared_plan(values, publishers)?
    };
    plan.checked = plan.checked.min(plan.players - plan.stalled);
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
    let server = match plan.players {
        0 => plan.publish_to.address,
        _ => plan.play_from.address,
    };
    if !server.ip().is_loopback() {
        return Ok(Vec::new());
    }
    Ok(measure::listeners(server.port()))
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
            "{} connections closed early; the first: {why}",
            outcome.closed
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

/// `rtmp://HOST[:PORT]/APP`, or `rtmps://`.
#[derive(Clone, Debug)]
struct Url {
    text: String,
    address: SocketAddr,
    app: String,
    /// The name the server has to have in TLS; none without TLS.
    tls_name: Option<String>,
}

impl Url {
    fn parse(values: &Values, flag: &str) -> Result<Self, FlagError> {
        let wrong = || values.wrong(flag, "rtmp://HOST[:PORT]/APP or rtmps://");
        let text = values.text(flag).trim_end_matches('/');
        let (is_tls, rest) = match text.split_once("://") {
            Some(("rtmp", rest)) => (false, rest),
            Some(("rtmps", rest)) => (true, rest),
            _ => return Err(wrong()),
        };
        let (host, app) = rest.split_once('/').ok_or_else(wrong)?;
        let has_port = host.rsplit(':').next().is_some_and(|end| {
            host.contains(':') && !host.ends_with(']') && end.parse::<u16>().is_ok()
        });
        let with_port = match has_port {
            true => host.to_owned(),
            false if is_tls => format!("{host}:443"),
            false => format!("{host}:1935"),
        };
        let tls_name = match with_port.rsplit_once(':') {
            Some((host, _)) if is_tls => Some(host.trim_matches(['[', ']']).to_owned()),
            _ => None,
        };
        let mut addresses = with_port.to_socket_addrs().map_err(|_| wrong())?;
        let address = addresses.next().ok_or_else(wrong)?;
        Ok(Self {
            text: text.to_owned(),
            address,
            app: app.to_owned(),
            tls_name,
        })
    }

    /// The server, trusted as the flags say.
    fn server(&self, values: &Values) -> Result<Server, FlagError> {
        let tls = match &self.tls_name {
            None => None,
            Some(name) => {
                let named = trust(values)?.name(name);
                Some(named.ok_or_else(|| values.wrong("url", "a host that TLS has names for"))?)
            }
        };
        Ok(Server {
            address: self.address,
            tls,
            wire: Wire::Rtmp {
                app: self.app.clone(),
                tc_url: self.text.clone(),
            },
        })
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
    fn a_url_tells_address_and_app() {
        for (url, address, app) in [
            ("rtmp://127.0.0.1:1936/live", "127.0.0.1:1936", "live"),
            ("rtmp://127.0.0.1/a/b/", "127.0.0.1:1935", "a/b"),
            ("rtmp://[::1]/x", "[::1]:1935", "x"),
        ] {
            let plan = plan_of(&["--url", url]).unwrap();
            assert_eq!(plan.publish_to.address, address.parse().unwrap());
            assert_eq!(plan.play_from.address, plan.publish_to.address);
            let Wire::Rtmp { app: found, tc_url } = plan.play_from.wire else {
                panic!("no rtmp");
            };
            assert_eq!((&*found, &*tc_url), (app, url.trim_end_matches('/')));
        }
        for url in ["http://127.0.0.1/live", "rtmp://127.0.0.1", "rtmp:///x"] {
            assert!(plan_of(&["--url", url]).is_err(), "{url}");
        }
    }

    #[test]
    fn a_url_with_tls_tells_whose_certificate_is_wanted() {
        for (url, port, name) in [
            ("rtmps://127.0.0.1:1937/x", 1_937, "127.0.0.1"),
            ("rtmps://[::1]/x", 443, "::1"),
            ("rtmps://localhost:7/x", 7, "localhost"),
        ] {
            let url = Url::parse(&values_of(&["--url", url]).unwrap(), "url").unwrap();
            assert_eq!(
                (url.address.port(), url.tls_name.as_deref()),
                (port, Some(name))
            );
        }
        let error = plan_of(&["--url", "rtmps://[::1]/x", "--tls-ca", "/nowhere"]).unwrap_err();
        assert_eq!(error.flag, "tls-ca");
    }

    #[test]
    fn players_that_stall_are_players_and_are_not_checked() {
        let plan = plan_of(&["--players", "5", "--stall", "3", "--checked", "9"]).unwrap();
        assert_eq!((plan.players, plan.stalled, plan.checked), (5, 3, 2));
        assert!(plan_of(&["--players", "5", "--stall", "6"]).is_err());
    }
}
