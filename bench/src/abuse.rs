//! `abuse`: the load of `load`, once quiet and once beside abusers, and what that cost the healthy.
//!
//! ```text
//!   quiet run:    publishers, players
//!   abused run:   publishers, players   (this thread)
//!                 abusers               (a thread of its own: connect, send a script, be closed)
//! ```
//!
//! With `--alone` only the abusers, beside a load that somebody else puts on. What they send is in
//! abuse/scripts.rs and how in abuse/abusers.rs: an abuser tries again when its connection has
//! ended, at a bounded rate, and parses nothing of what it receives. What the healthy must not
//! lose is in abuse/findings.rs.

mod abusers;
mod findings;
pub mod scripts;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use self::abusers::SECOND_NS;
pub use self::abusers::{Abuse, Abusers, Count};
use self::findings::{json_of, judge, side_by_side, table_of};
use self::scripts::{KINDS, Target};
use crate::client::Wire;
use crate::flags::{Flag, FlagError, Values, flag};
use crate::load;
use crate::measure::now_ns;
use crate::plan::Plan;
use crate::report::Report;
use crate::subcommand::{self, End, say, write_json};
use crate::verdict::{self, Patience};

const ABOUT: &str = "\
usage: tailwater-bench abuse [--url URL] [--players N] [--abusers N] ...
       tailwater-bench abuse --alone [--abusers N] [--seconds S]

Puts the load of `load` on an RTMP server twice, the second time beside abusers that send it what
no client should, and says what that cost the healthy: what they lost and how late it came.";

const EXAMPLES: &str = "\
All flags of `load` are taken, too. Put server and load on cores of their own:

  taskset -c 0 tailwater --listen 127.0.0.1:1935 --max-per-address 0 &
  tailwater-bench abuse --players 2000 --abusers 200 --cpu 1

exit status: 0 the healthy lost nothing and were not slower than allowed; 1 they were, or the
load could not be put on; 2 wrong flags; 3 refused: the generator itself was the bottleneck.";

const FLAGS: [Flag; 7] = [
    flag("abusers", "N", "100", "Abusers at work at one time."),
    flag(
        "abuse-rate",
        "N",
        "50",
        "Connections a second that all abusers together begin.",
    ),
    flag(
        "abuse-cpu",
        "N",
        "",
        "Pin the abusers to this core; else they run where --cpu says.",
    ),
    flag(
        "kinds",
        "LIST",
        "all",
        "Kinds of abuse, separated by commas; an unknown one names all.",
    ),
    flag(
        "seed",
        "N",
        "1",
        "What is random is the same for the same seed.",
    ),
    flag(
        "slower-max",
        "MS",
        "100",
        "Milliseconds that abuse may add to the p99 of the delay.",
    ),
    flag("alone", "", "", "Only the abusers, for --seconds."),
];

/// Runs the subcommand.
pub fn run(arguments: &[String]) -> End {
    let flags: Vec<Flag> = FLAGS
        .into_iter()
        .chain(load::FLAGS)
        .chain(load::SHARED_FLAGS)
        .collect();
    subcommand::run(&flags, arguments, ABOUT, EXAMPLES, |values| {
        match values.is_set("alone") {
            true => alone(values),
            false => compare(values),
        }
    })
}

fn abuse(values: &Values, plan: &Plan) -> Result<Abuse, FlagError> {
    let (Wire::Rtmp { app, tc_url }, None) = (&plan.play_from.wire, &plan.play_from.tls) else {
        return Err(values.wrong("url", "rtmp://, which abusers speak"));
    };
    let all = values.text("kinds") == "all";
    let mut kinds: Vec<usize> = (0..KINDS.len()).filter(|_| all).collect();
    for name in values.text("kinds").split(',').filter(|_| !all) {
        let found = KINDS.iter().position(|kind| kind.name == name);
        kinds.push(found.ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            values.wrong("kinds", &format!("all, or of {}", names.join(", ")))
        })?);
    }
    Ok(Abuse {
        server: plan.play_from.address,
        target: Target {
            app: app.clone(),
            tc_url: tc_url.clone(),
            stream: format!("{}-0", plan.name),
        },
        abusers: values.count("abusers", 1..=20_000)?,
        rate: values.number("abuse-rate", 1..=100_000)?,
        kinds,
        seed: values.number("seed", 0..=u64::MAX)?,
    })
}

/// Only the abusers.
fn alone(values: &Values) -> Result<(), End> {
    let plan = load::plan(values)?;
    let abuse = abuse(values, &plan)?;
    load::prepare_process(values)?;
    let stop = AtomicBool::new(false);
    let until_ns = now_ns() + plan.seconds * SECOND_NS;
    let mut abusers = Abusers::new(abuse)?;
    abusers.run(&stop, until_ns, values.is_set("quiet"))?;
    let json = json!({ "command": "abuse", "kinds": json_of(&abusers.counts) });
    write_json(values, &json)?;
    if values.text("json") != "-" {
        say(&table_of(&abusers.counts));
    }
    Ok(())
}

/// The load, once quiet and once beside the abusers.
fn compare(values: &Values) -> Result<(), End> {
    let quiet_plan = load::plan(values)?;
    // The first run's names are still known to the server for a while.
    let abused_plan = Plan {
        name: format!("{}-abused", quiet_plan.name),
        ..quiet_plan.clone()
    };
    let abuse = abuse(values, &abused_plan)?;
    let slower_max = values.number("slower-max", 0..=60_000)? as f64;
    let patience = load::patience(values)?;
    let abuse_cpu = match values.optional("abuse-cpu") {
        Some(_) => Some(values.count("abuse-cpu", 0..=1_023)?),
        None => None,
    };
    load::prepare_process(values)?;
    let quiet = healthy(values, quiet_plan, &patience)?;
    let mut abusers = Abusers::new(abuse)?;
    let stop = AtomicBool::new(false);
    // The abusers' work counts as this process's: how busy it was says nothing of the load.
    let patience = Patience {
        busy_max: f64::INFINITY,
        ..patience
    };
    let is_quiet = values.is_set("quiet");
    let (abused, ran) = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Some(cpu) = abuse_cpu {
                tailwater::net::process::pin_thread(cpu)?;
            }
            abusers.run(&stop, u64::MAX, is_quiet)
        });
        let abused = healthy(values, abused_plan, &patience);
        stop.store(true, Ordering::Relaxed);
        let ran = thread.join();
        (abused, ran)
    });
    match ran {
        Ok(ran) => ran?,
        Err(_) => return Err(End::Failed("the abusers' thread ended badly".into())),
    }
    let abused = abused?;
    let all = json!({
        "command": "abuse",
        "note": values.text("note"),
        "quiet": quiet.json(),
        "abused": abused.json(),
        "kinds": json_of(&abusers.counts),
    });
    write_json(values, &all)?;
    if values.text("json") != "-" {
        say(&side_by_side(&quiet, &abused));
        say("\n");
        say(&table_of(&abusers.counts));
    }
    judge(&quiet, &abused, slower_max)
}

/// One run of the load.
fn healthy(values: &Values, plan: Plan, patience: &Patience) -> Result<Report, End> {
    let outcome = load::put_on(&plan, values)?;
    let refused = verdict::refusals(&outcome, patience);
    if !refused.is_empty() {
        return Err(End::Refused(refused));
    }
    if let Some(why) = &outcome.closed_why {
        eprintln!("{} closed early; the first: {why}", outcome.closed);
    }
    Ok(verdict::report(&plan, &outcome))
}
