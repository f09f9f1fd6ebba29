//! The tables in README.md of options, metrics, figures, limits and close reasons, which are made
//! of those of the program: `TAILWATER_WRITE_TABLES=1 cargo test --test tables` writes them. In the
//! table of limits only the values are written, each in front of the name of its constant.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use tailwater::admin::metrics;
use tailwater::flags::{Accepts, OPTIONS, Opt, Repeat};
use tailwater::limits;
use tailwater::rtmp::bucket::Rate;
use tailwater::stats::{Gauges, Line, Row, TargetGauges};
use tailwater::worker::close_reason;

/// The constants of limits.rs by what they count, from which they are shown.
macro_rules! values {
    ($($show:ident: $($name:ident)+;)+) => {
        [$($((stringify!($name), $show(limits::$name))),+),+]
    };
}

fn values() -> BTreeMap<&'static str, String> {
    let first_block = ("FIRST_BLOCK_BYTES", bytes(limits::FIRST_BLOCK_BYTES[0]));
    let values = values! {
        bytes: ACK_WINDOW_DEFAULT ACK_WINDOW_MIN AUDIO_MESSAGE_BYTES_MAX BLOCK_BYTES
            CHUNK_SIZE_IN_CAP CHUNK_SIZE_IN_MIN COMMANDS_BYTES_LEAST COMMANDS_TURN_BYTES
            COMMAND_BACKLOG_BYTES_MAX CONFIG_FILE_BYTES_MAX CONNECTION_BYTES DATA_FRAMES_BYTES_MAX
            DATA_MESSAGE_BYTES_MAX EARLY_HEADERS_BYTES_MAX EARLY_MEDIA_BYTES_MAX FILTERED_BYTES
            GATHERED_MESSAGE_BYTES GOP_BYTES_MAX HEADERS_BYTES_MAX HTTP_ANSWER_BYTES
            HTTP_HEAD_BYTES_MAX HTTP_INPUT_BYTES_MAX HTTP_LINE_BYTES_MAX INPUT_BYTES_FREE
            JUMP_BACKLOG_BYTES_MAX LOG_QUEUE_BYTES MAIL_BYTES_MAX MEMORY_MAX_LEAST
            MEMORY_REVIEW_BYTES METADATA_LIST_BYTES_MAX NAME_BYTES_MAX OTHER_MESSAGE_BYTES_MAX
            OUTBOX_KEPT_BYTES OUT_BYTES_MAX PARTIAL_BYTES_MAX PREFLIGHT_BYTES PROGRESS_BYTES
            PROXY_V1_BYTES_MAX PROXY_V2_BYTES_MAX QUERY_BYTES_MAX READ_OFF_BYTES
            READ_OFF_VIOLATOR_BYTES REDIRECT_BYTES_MAX RING_BYTES SEQUENCE_HEADER_BYTES_MAX
            SPARE_BYTES_MAX STALLED_BYTES_MAX STATUS_TEXT_BYTES_MAX SUBPROTOCOL_BYTES
            TLS_CONNECTION_BYTES TLS_IDLE_BYTES TLS_READ_BYTES TLS_SEND_BYTES
            UNAUTHORISED_MESSAGE_BYTES_MAX UNAUTHORISED_PARTIAL_BYTES_MAX VIA_BYTES_MAX
            VIDEO_MESSAGE_BYTES_MAX;
        count: ACCEPTS_PER_TURN ADDRESSES_KEPT ADDRESSES_TRIED ADMIN_CONNECTIONS_MAX ADMIN_FILES
            ADMIN_UNKNOWN_MAX ADMIN_UNKNOWN_PER_ADDRESS AMF_DEPTH_MAX AMF_NODES_MAX BANS_MAX
            BAN_REASON_CHARS BLOCKS_KEPT
            CHUNK_LISTS_KEPT CHUNK_STREAMS_MAX CLIENT_CODECS_MAX COMMANDS_TURN_MESSAGES
            COMMAND_AMF_NODES_MAX CONNECTIONS_LEAST DATA_FRAMES_MAX EARLY_HEADERS_MAX ENDED_MAX
            EVENTS_PER_POLL FETCHES_LEAST GOP_FRAMES_MAX HEADERS_MAX HOPS_MAX HTTP_FIELDS_MAX
            IDLE_LOOKED_AT LOG_LINES LOG_VALUE_CHARS LOOKUPS_MAX MESSAGES_PER_TURN
            MESSAGE_STREAMS_MAX METRIC_STREAMS_MAX MISSING_ASKERS_MAX MISSING_MAX NEWCOMERS_LEAST
            PAGE_ROWS_MAX PANIC_CHARS PARTIAL_MESSAGES_MAX PLAYS_MAX PULL_ASKERS_MAX QUERIES_MAX
            QUERIES_TRIED REDIRECTS_MAX REQUEST_MESSAGES RINGS_KEPT SLICES_MAX TLS_WORDS_CHARS
            UNAUTHORISED_PARTIAL_MESSAGES_MAX USER_AGENT_CHARS WORKERS_MAX WRITES_PER_TURN;
        time: ACCEPT_PAUSE ADMIN_UNKNOWN_TIME ANSWER_WAIT BAN_TIME_MAX BITRATE_TIME CHECK_EVERY
            CLOCK_AHEAD_MAX CLOCK_GAP_MAX CLOCK_STEP_MAX DATA_AHEAD_MAX ENDED_WAIT FEED_WAIT
            FETCH_DELAY_MAX FETCH_PAUSE FLV_KIND_WAIT FLV_MEDIA_WAIT GOP_AGE_MAX HANDSHAKE_PAUSE
            HANDSHAKE_TURN KEY_FRAME_WAIT LINGER LISTEN_ON LOG_FLUSH MEDIA_IDLE MEMORY_REFUSED_MAX
            MEMORY_REVIEW MISSING_KEPT MISSING_KEPT_MAX PARTIAL_MESSAGE_TIME PARTIAL_MESSAGE_WAIT
            PICTURES_GONE PICTURES_WAIT PROGRESS_TIME PUSH_MOVE_TIME QUERY_KEPT RESOLVED_KEPT
            RETRY_FIRST
            RETRY_MAX SKIPS_TIME TRACKS_APART_MAX UNPUBLISH_GRACE WARN_EVERY;
        rate: CHUNK_SIZES FETCHES GLITCHES HANDSHAKE_STEPS HEADER_CHANGES HTTP_REQUESTS MESSAGES
            ORIGIN_DIALS PLAYER_COMMANDS PUBLISHES REPLIES SEEKS STREAM_COMMANDS UNANSWERED;
        one_in: ADDRESS_SHARE FETCHES_SHARE LINGERING_SHARE MEMORY_REVIEW_SHARE NEWCOMERS_SHARE
            MEMORY_PART PLACES_KEPT_SHARE PUSHES_SHARE RTMP_NEWCOMERS_SHARE SHED_SHARE;
        percent: MEMORY_HYSTERESIS MEMORY_NO_PLAYERS MEMORY_NO_STREAMS MEMORY_SHED MEMORY_SHED_HARD;
    };
    values.into_iter().chain([first_block]).collect()
}

/// A number with commas between its thousands.
fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().ok().expect("it fits").to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: impl TryInto<u64>) -> String {
    match number.try_into().ok().expect("it fits") {
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        bytes => format!("{} bytes", count(bytes)),
    }
}

fn time(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_millis()),
    }
}

fn rate(rate: Rate) -> String {
    let (number, seconds) = rate.plainly();
    let time = match seconds {
        1 => "a second".to_owned(),
        60 => "a minute".to_owned(),
        seconds => format!("in {seconds} s"),
    };
    format!("{} {time}, {} at once", count(number), count(rate.burst()))
}

fn percent(number: u64) -> String {
    format!("{number} %")
}

fn one_in(number: usize) -> String {
    format!("one in {number}")
}

/// The table of limits with its values as they are in the program.
fn limit_table(old: &str) -> String {
    let values = values();
    let mut table = String::new();
    for line in old.lines() {
        match constant(line) {
            Some(name) => {
                let (before, behind) = line.split_once(" <!-- ").expect(line);
                let (what, _) = before.rsplit_once("| ").expect(line);
                let value = values.get(name).unwrap_or_else(|| panic!("no {name}"));
                table += &format!("{what}| {value} <!-- {behind}\n");
            }
            None => table += &format!("{line}\n"),
        }
    }
    table
}

/// The constant that a row of the table of limits names.
fn constant(row: &str) -> Option<&str> {
    Some(row.split_once("<!-- ")?.1.split_once(" -->")?.0)
}

fn option_table() -> String {
    let mut table = "| Flag | Unit | Default | Range | Meaning |\n\
                     | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for rows in OPTIONS.chunk_by(|one, next| one.category == next.category) {
        table += &format!("| **{}** | | | | |\n", rows[0].category.title());
        table.extend(rows.iter().map(option_row));
    }
    table
}

fn option_row(opt: &Opt) -> String {
    let short = opt.short.map(|letter| format!("-{letter}, "));
    let flag = format!("{}--{} {}", short.unwrap_or_default(), opt.name, opt.hint);
    let (flag, unit) = (flag.trim_end(), opt.unit());
    let default = match opt.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let range = match opt.accepts {
        Accepts::Nothing => String::new(),
        _ => cell(&opt.range()),
    };
    let mut meaning = cell(format!("{} {}", opt.meaning, opt.note).trim_end());
    if opt.repeat == Repeat::Many {
        meaning += " May be repeated.";
    }
    format!("| `{flag}` | {unit} | {default} | {range} | {meaning} |\n")
}

/// Text as it may stand in a cell: bars and stars would be taken for markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}

fn metric_table() -> String {
    let mut table = "| Metric | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for metric in metrics::table() {
        let (name, kind, help) = (metric.sample(), metric.kind.as_str(), metric.help);
        let labels = metric.labels().iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        table += &format!("| `{name}` | {kind} | {labels} | {help} |\n");
    }
    table
}

/// What the lines of figures say of `rows`; a row `first`, if any.
fn figure_table(first: &str, rows: &[Row]) -> String {
    let mut table = format!("| Name | Meaning |\n| --- | --- |\n{first}");
    for row in rows.iter().filter(|row| row.line != Line::None) {
        let (name, help) = (row.line_name(), row.help);
        let (before, after) = match row.line {
            Line::Rate(_) => ("Bits a second since the last line. ", ""),
            _ if row.is_total => ("", ", since the start"),
            _ => ("", ""),
        };
        table += &format!("| `{name}` | {before}{help}{after} |\n");
    }
    table
}

const TARGET: &str = "| `target` | The server with its port, and the first segment of the path; \
                      never what may be a key. Rules that would be called the same are told apart \
                      by `#2` and so on, in their order |\n";

fn close_table() -> String {
    let mut table = "| Code | Meaning |\n| --- | --- |\n".to_owned();
    for (code, meaning) in close_reason::codes() {
        let meaning = meaning.trim().trim_end_matches('.');
        table += &format!("| `{code}` | {meaning} |\n");
    }
    table
}

fn read(name: &str) -> String {
    std::fs::read_to_string(support::root().join(name)).expect(name)
}

/// What is around the table of this name in README.md, and the table.
fn parts<'a>(readme: &'a str, name: &str) -> [&'a str; 3] {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let begin = readme.find(&begin).expect("where it begins") + begin.len();
    let end = readme.find(&end).expect("where it ends");
    [&readme[..begin], &readme[begin..end], &readme[end..]]
}

#[test]
fn readme_has_the_tables_of_the_program() {
    let is_written = std::env::var_os("TAILWATER_WRITE_TABLES").is_some();
    for name in ["flags", "metrics", "figures", "targets", "closes", "limits"] {
        let readme = read("README.md");
        let [before, table, behind] = parts(&readme, name);
        let wanted = match name {
            "flags" => option_table(),
            "metrics" => metric_table(),
            "figures" => figure_table("", Gauges::ROWS),
            "targets" => figure_table(TARGET, TargetGauges::ROWS),
            "closes" => close_table(),
            _ => limit_table(table),
        };
        if is_written {
            let path = support::root().join("README.md");
            std::fs::write(path, [before, &wanted, behind].concat()).unwrap();
            continue;
        }
        for (got, wanted) in table.lines().zip(wanted.lines()) {
            assert_eq!(got, wanted, "{name}: TAILWATER_WRITE_TABLES=1 writes it");
        }
        assert_eq!(table, wanted, "{name}: TAILWATER_WRITE_TABLES=1 writes it");
    }
}

#[test]
fn every_limit_has_one_row_that_says_what_happens() {
    let text = read("src/limits.rs") + &read("rtmp/src/limits.rs");
    let constants = text.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("pub const ")?.split_once(':')?;
        Some(name)
    });
    let mut constants: Vec<&str> = constants.collect();
    assert!(constants.len() >= 75, "{constants:?}");
    let readme = read("README.md");
    let [_, table, _] = parts(&readme, "limits");
    let mut rows: Vec<&str> = table.lines().filter_map(constant).collect();
    constants.sort_unstable();
    rows.sort_unstable();
    assert_eq!(rows, constants);
    assert_eq!(values().into_keys().collect::<Vec<_>>(), constants);
    for row in table.lines().filter(|row| constant(row).is_some()) {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        let [what, _, beyond] = cells[..] else {
            panic!("{row}");
        };
        assert!(!what.is_empty() && !beyond.is_empty(), "{row}");
        assert!(!what.ends_with('.') && !beyond.ends_with('.'), "{row}");
        for quoted in beyond.split('`').skip(1).step_by(2) {
            let reason = format!("\n| `{quoted}` |");
            assert!(
                quoted == "_error" || readme.contains(&reason),
                "no `{quoted}`"
            );
        }
    }
}

#[test]
fn every_option_has_a_row_of_five_cells() {
    let table = option_table();
    let rows = table.lines().filter(|row| row.starts_with("| `"));
    assert_eq!(rows.count(), OPTIONS.len());
    for row in table.lines() {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
    }
}

#[test]
fn values_are_shown_in_their_units() {
    let shown = [
        count(20_000_u32),
        bytes(1_u32 << 20),
        bytes(128_u32),
        bytes(64_u32 << 10),
        time(Duration::from_millis(100)),
        time(Duration::from_secs(30)),
        rate(Rate::per_second(10, 2_000)),
        percent(70),
        one_in(4),
    ];
    let wanted =
        "20,000|1 MiB|128 bytes|64 KiB|100 ms|30 s|10 a second, 2,000 at once|70 %|one in 4";
    assert_eq!(shown.join("|"), wanted);
}
