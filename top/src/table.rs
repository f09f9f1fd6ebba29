//! From two answers to lines of text: rates by difference, numbers in units that fit, and nothing
//! of what strangers call things that a terminal could take for an order.

use std::collections::HashMap;

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What was seen at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    /// The answer of `workers`.
    pub(super) workers: Value,
    /// The answer of `streams`.
    pub(super) streams: Value,
}

/// A column: its title, how wide it is, and whether it begins left.
struct Column(&'static str, usize, bool);

const WORKER: [Column; 10] = [
    Column("WORKER", 6, true),
    Column("BUSY", 6, false),
    Column("PACE", 7, false),
    Column("CONNS", 7, false),
    Column("PUBL", 6, false),
    Column("PLAYERS", 8, false),
    Column("WAIT", 6, false),
    Column("IN", 8, false),
    Column("OUT", 8, false),
    Column("SKIPS/s", 8, false),
];

const STREAM: [Column; 11] = [
    Column("STREAM", 24, true),
    Column("STATE", 8, true),
    Column("VIDEO", 15, true),
    Column("PLAYERS", 7, false),
    Column("IN", 8, false),
    Column("OUT", 8, false),
    Column("FPS", 6, false),
    Column("KEY", 7, false),
    Column("DELAY", 7, false),
    Column("GAPS", 5, false),
    Column("SKIPS/s", 8, false),
];

/// What is shown of the difference between `before` and `now`, in so many columns and rows.
pub(super) fn lines(before: &Seen, now: &Seen, columns: usize, rows: usize) -> Vec<String> {
    let mut lines = head(before, now);
    lines.push(String::new());
    lines.push(titles(&WORKER));
    lines.extend(workers(before, now));
    lines.push(String::new());
    let mut shown = streams(before, now);
    lines.push(titles(&STREAM));
    lines.truncate(rows);
    let total = now.streams["total"].as_u64().unwrap_or(0);
    let total = usize::try_from(total)
        .unwrap_or(usize::MAX)
        .max(shown.len());
    let room = rows - lines.len();
    if total > room.min(shown.len()) && room > 0 {
        // A line says how many there is no room for.
        shown.truncate(room - 1);
        shown.push(format!("{} more not shown", total - shown.len()));
    }
    shown.truncate(room);
    lines.append(&mut shown);
    for line in &mut lines {
        line.truncate(fitting(line, columns).len());
    }
    lines
}

fn head(before: &Seen, now: &Seen) -> Vec<String> {
    let all = &now.workers;
    let process = &all["process"];
    let elapsed = seconds(&before.workers, all);
    let used = &before.workers["process"]["cpu_seconds"];
    let cpu = rate(used, &process["cpu_seconds"], elapsed);
    let state = if all["draining"] == true {
        "  stopping"
    } else {
        ""
    };
    let first = format!(
        "tailwater {}  up {}{state}",
        plain(all["version"].as_str().unwrap_or("?")),
        duration(number(&all["uptime_seconds"])),
    );
    let second = format!(
        "cpu {:.0} %  memory {}  files {} of {}  threads {}  streams {}",
        cpu * 100.0,
        scaled(number(&process["resident_bytes"]), "B"),
        number(&process["open_files"]),
        number(&process["open_files_max"]),
        number(&process["threads"]),
        number(&now.streams["total"]),
    );
    vec![first, second]
}

fn workers(before: &Seen, now: &Seen) -> Vec<String> {
    let elapsed = seconds(&before.workers, &now.workers);
    let rows = now.workers["workers"].as_array().into_iter().flatten();
    let row = |(index, worker): (usize, &Value)| {
        let old = &before.workers["workers"][index];
        let name = number(&worker["worker"]).to_string();
        if worker["answers"] != true {
            return format!("{name:<6} does not answer");
        }
        let per_second = |field: &str| rate(&old[field], &worker[field], elapsed);
        let count = |field: &str| number(&worker[field]).to_string();
        let cells = [
            name,
            format!("{:.1}%", per_second("busy_seconds") * 100.0),
            format!("{} ms", number(&worker["pace_ms"])),
            count("connections"),
            count("publishers"),
            count("players"),
            count("waiting"),
            bits(per_second("bytes_in")),
            bits(per_second("bytes_out")),
            format!("{:.1}", per_second("skips")),
        ];
        cells_of(&WORKER, &cells)
    };
    rows.enumerate().map(row).collect()
}

fn streams(before: &Seen, now: &Seen) -> Vec<String> {
    let elapsed = seconds(&before.streams, &now.streams);
    let old = before.streams["streams"].as_array().into_iter().flatten();
    // Another life of a stream counts from 0.
    let key = |stream: &Value| (stream["name"].to_string(), stream["epoch"].as_u64());
    let old: HashMap<_, &Value> = old.map(|stream| (key(stream), stream)).collect();
    let none = Value::Null;
    let rows = now.streams["streams"].as_array().into_iter().flatten();
    rows.map(|stream| {
        let old = *old.get(&key(stream)).unwrap_or(&&none);
        let per_second = |field: &str| rate(&old[field], &stream[field], elapsed);
        let text = |field: &str| plain(stream[field].as_str().unwrap_or(""));
        let ms = |field: &str| stream[field].as_f64().map(|ms| format!("{ms} ms"));
        let video = match (stream["width"].as_u64(), stream["height"].as_u64()) {
            (Some(width), Some(height)) => format!("{} {width}x{height}", text("video_codec")),
            _ => text("video_codec"),
        };
        let cells = [
            text("name"),
            text("state"),
            video,
            number(&stream["players"]).to_string(),
            bits(per_second("bytes_in")),
            bits(per_second("bytes_out")),
            format!("{:.1}", per_second("video_frames")),
            ms("key_frame_interval_ms").unwrap_or_default(),
            ms("delay_ms").unwrap_or_default(),
            number(&stream["gaps"]).to_string(),
            format!("{:.1}", per_second("skips")),
        ];
        cells_of(&STREAM, &cells)
    })
    .collect()
}

fn titles(columns: &[Column]) -> String {
    let titles: Vec<String> = columns.iter().map(|column| column.0.to_owned()).collect();
    cells_of(columns, &titles)
}

fn cells_of(columns: &[Column], cells: &[String]) -> String {
    let cell = |(Column(_, width, is_left), text): (&Column, &String)| {
        let text = fitting(text, *width);
        // `{:<width$}` counts characters, of which some are two columns wide and some none.
        let gap = " ".repeat(width - text.width());
        if *is_left {
            format!("{text}{gap}")
        } else {
            format!("{gap}{text}")
        }
    };
    let cells: Vec<String> = columns.iter().zip(cells).map(cell).collect();
    cells.join(" ").trim_end().to_owned()
}

/// The longest beginning of `text` that is at most `columns` wide in a terminal.
fn fitting(text: &str, columns: usize) -> &str {
    if text.width() <= columns {
        return text;
    }
    let ends = text.char_indices().map(|(end, _)| &text[..end]);
    let fits = |part: &&str| part.width() <= columns;
    ends.take_while(fits).last().unwrap_or_default()
}

/// Seconds between two answers.
fn seconds(before: &Value, now: &Value) -> f64 {
    (number(&now["time_ms"]) - number(&before["time_ms"])) / 1e3
}

/// How much a counter grows in a second; 0 when it has begun anew.
fn rate(before: &Value, now: &Value, seconds: f64) -> f64 {
    match (before.as_f64(), now.as_f64()) {
        (Some(before), Some(now)) if now >= before && seconds > 0.0 => (now - before) / seconds,
        _ => 0.0,
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn bits(bytes_per_second: f64) -> String {
    scaled(bytes_per_second * 8.0, "")
}

/// A number with three digits and its unit.
fn scaled(mut value: f64, unit: &str) -> String {
    let mut prefix = "";
    for next in ["k", "M", "G", "T"] {
        if value < 999.5 {
            break;
        }
        value /= 1e3;
        prefix = next;
    }
    let digits = match value {
        _ if prefix.is_empty() => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    let gap = if prefix.is_empty() && unit.is_empty() {
        ""
    } else {
        " "
    };
    format!("{value:.digits$}{gap}{prefix}{unit}")
}

fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).floor();
    let (days, hours) = ((whole / 86_400.0).floor(), (whole / 3_600.0).floor() % 24.0);
    let (minutes, rest) = ((whole / 60.0).floor() % 60.0, whole % 60.0);
    if days > 0.0 {
        format!("{days} d {hours} h")
    } else if hours > 0.0 {
        format!("{hours} h {minutes} min")
    } else if minutes > 0.0 {
        format!("{minutes} min {rest} s")
    } else {
        format!("{rest} s")
    }
}

/// A name as a terminal may be given it: what is not a visible character of its own is a dot, such
/// as control characters, marks that turn the direction of text, and joiners.
fn plain(text: &str) -> String {
    let is_shown = |c: char| {
        let is_private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
        c == ' '
            || c.is_alphanumeric()
            || (c.width().is_some_and(|width| width > 0) && !c.is_whitespace() && !is_private)
    };
    let shown = text.chars().map(|c| if is_shown(c) { c } else { '\u{b7}' });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(time_ms: u64, bytes: u64, epoch: u64) -> Seen {
        let worker = json!({
            "worker": 0, "answers": true, "busy_seconds": bytes as f64 / 1e6, "pace_ms": 20,
            "connections": 3, "publishers": 1, "players": 2, "waiting": 0,
            "bytes_in": bytes, "bytes_out": 2 * bytes, "skips": 4,
        });
        let stream = |name: &str, bytes: u64| {
            json!({
                "name": name, "epoch": epoch, "state": "live", "video_codec": "avc1",
                "width": 1_280, "height": 720, "players": 2, "bytes_in": bytes,
                "bytes_out": 2 * bytes, "video_frames": 25 * time_ms / 1_000,
                "key_frame_interval_ms": 2_000, "delay_ms": null, "gaps": 1, "skips": 0,
            })
        };
        let process = json!({
            "cpu_seconds": 0.5 * time_ms as f64 / 1e3, "resident_bytes": 34_500_000,
            "open_files": 20, "open_files_max": 1_024, "threads": 5,
        });
        Seen {
            workers: json!({
                "time_ms": time_ms, "version": "0.1.0", "uptime_seconds": 3_723.5,
                "draining": false, "process": process,
                "workers": [worker, {"worker": 1, "answers": false}],
            }),
            streams: json!({
                "time_ms": time_ms, "total": 2,
                "streams": [stream("live/a\u{1b}[2J\n\u{202e}", 0), stream("live/b", bytes)],
            }),
        }
    }

    #[test]
    fn rates_are_differences_by_time() {
        let (before, now) = (seen(1_000, 0, 1), seen(3_000, 250_000, 1));
        let lines = lines(&before, &now, 200, 50);
        let text = lines.join("\n");
        assert!(
            text.starts_with("tailwater 0.1.0  up 1 h 2 min\n"),
            "{text}"
        );
        assert!(
            text.contains("cpu 50 %  memory 34.5 MB  files 20 of 1024"),
            "{text}"
        );
        let worker: Vec<&str> = lines[4].split_whitespace().collect();
        let shown = [
            "0", "12.5%", "20", "ms", "3", "1", "2", "0", "1.00", "M", "2.00", "M", "0.0",
        ];
        assert_eq!(worker, shown);
        assert_eq!(lines[5], "1      does not answer");
        let stream: Vec<&str> = lines[9].split_whitespace().collect();
        let shown = [
            "live/b", "live", "avc1", "1280x720", "2", "1.00", "M", "2.00", "M", "25.0", "2000",
            "ms", "1", "0.0",
        ];
        assert_eq!(stream, shown);
    }

    #[test]
    fn another_life_of_a_stream_has_no_rate_yet() {
        let (before, now) = (seen(1_000, 500, 1), seen(3_000, 250_000, 2));
        let lines = lines(&before, &now, 200, 50);
        assert!(lines[9].contains(" 0 "), "{lines:?}");
        assert_eq!(rate(&json!(9), &json!(3), 1.0), 0.0);
        assert_eq!(rate(&json!(1), &json!(3), 0.0), 0.0);
    }

    #[test]
    fn names_move_nothing_in_the_terminal() {
        let (before, now) = (seen(1_000, 0, 1), seen(2_000, 5, 1));
        let lines = lines(&before, &now, 200, 50);
        let text = lines.concat();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(text.contains("live/a\u{b7}[2J\u{b7}\u{b7}"), "{text:?}");
    }

    #[test]
    fn the_last_line_tells_how_many_streams_are_not_shown() {
        let (before, mut now) = (seen(1_000, 0, 1), seen(2_000, 5, 1));
        let shown = |now: &Seen, rows| lines(&before, now, 200, rows);
        assert_eq!(shown(&now, 10).len(), 10);
        assert!(!shown(&now, 10).concat().contains("not shown"));
        assert_eq!(shown(&now, 9).pop().unwrap(), "2 more not shown");
        now.streams["total"] = json!(251);
        let all = shown(&now, 50);
        assert_eq!(all.last().unwrap(), "249 more not shown");
        assert_eq!(all.len(), 11);
    }

    #[test]
    fn regression_wide_names_keep_the_columns_in_line() {
        let (mut before, mut now) = (seen(1_000, 0, 1), seen(2_000, 5, 1));
        for seen in [&mut before, &mut now] {
            let streams = &mut seen.streams["streams"];
            streams[0]["name"] = json!("live/\u{30c6}\u{30ec}\u{30d3}\u{653e}\u{9001}\u{5c40}");
            streams[1]["name"] = json!("live/\u{1f3a5}\u{1f3a5} cam");
        }
        let lines = lines(&before, &now, 200, 50);
        let state = |line: &str| {
            let at = line.find("live   ").expect("the state");
            line[..at].width()
        };
        let shown: Vec<usize> = lines[8..10].iter().map(|line| state(line)).collect();
        assert_eq!(shown, [25, 25], "{lines:#?}");
        assert!(lines.concat().contains("\u{1f3a5}\u{1f3a5} cam"));
        // One that is too long is cut, and not in the middle of a column.
        let long = "\u{653e}".repeat(40);
        assert_eq!(fitting(&long, 25).width(), 24);
        assert_eq!(fitting("e\u{301}e\u{301}", 1), "e\u{301}");
    }

    #[test]
    fn what_does_not_fit_is_cut_off() {
        let (before, now) = (seen(1_000, 0, 1), seen(2_000, 5, 1));
        let lines = lines(&before, &now, 20, 4);
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.width() <= 20));
    }

    #[test]
    fn an_answer_without_anything_makes_a_table_without_anything() {
        let nothing = || Seen {
            workers: Value::Null,
            streams: json!({"streams": 7}),
        };
        assert!(lines(&nothing(), &nothing(), 80, 24).len() >= 4);
    }

    #[test]
    fn numbers_have_units() {
        for (value, shown) in [
            (0.0, "0"),
            (999.4, "999"),
            (999.6, "1.00 k"),
            (12_345.0, "12.3 k"),
            (999_950.0, "1.00 M"),
            (3.5e9, "3.50 G"),
            (7e15, "7000 T"),
        ] {
            assert_eq!(scaled(value, ""), shown);
        }
        assert_eq!(duration(59.9), "59 s");
        assert_eq!(duration(90_000.0), "1 d 1 h");
    }
}
