//! What a reviewer would otherwise have to say twice: which part may know which, and that the
//! documents say what the code says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use support::relay::Relay;
use support::root;
use support::wait_for;

/// Where the Rust files are that the tests below look at.
const SOURCES: [&str; 7] = [
    "src", "rtmp", "exercise", "testkit", "top", "tests", "bench",
];

/// The widest line, in characters.
const COLUMNS: usize = 100;

fn read(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below `dir`, its path counted from the root.
fn rust_files(dir: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// The code of a file: without comments and strings, and without its unit tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..tests]
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .map(without_strings)
        .collect::<Vec<_>>()
        .join("\n")
}

fn without_strings(line: &str) -> String {
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

/// Files and directories that are compiled for tests only, without their `.rs`.
fn test_only() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in rust_files("src") {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        for part in text.split("#[cfg(test)]\n").skip(1) {
            let line = part.lines().next().unwrap_or_default();
            if let Some(name) = line.strip_suffix(';').and_then(|l| l.strip_prefix("mod ")) {
                let dir = if file.file_name().unwrap() == "mod.rs" {
                    file.parent().unwrap().to_owned()
                } else {
                    file.with_extension("")
                };
                found.push(dir.join(name));
            }
        }
    }
    found
}

/// The files of the program itself.
fn program_files() -> Vec<PathBuf> {
    let test_only = test_only();
    assert!(!test_only.is_empty(), "there are such modules");
    let is_test = |file: &PathBuf| {
        let module = file.with_extension("");
        test_only.iter().any(|path| module.starts_with(path))
    };
    let mut files = rust_files("src");
    files.retain(|file| !is_test(file));
    files
}

/// The module a file is: `src/stream/log/sync.rs` is stream, log, sync.
fn module_of(file: &Path) -> Vec<String> {
    let mut path: Vec<String> = file
        .with_extension("")
        .iter()
        .skip(1)
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if path
        .last()
        .is_some_and(|last| last == "mod" || last == "lib")
    {
        path.pop();
    }
    path
}

/// What a file names by path, from the root of what it belongs to: `crate::stream::log`,
/// `std::time`, `mio::net`; groups in braces are taken apart.
fn paths_in(file: &Path) -> BTreeSet<String> {
    let code = code(file);
    let module = module_of(file);
    let mut found = BTreeSet::new();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut rest = &code[..];
    while let Some(begin) = rest.find(is_part) {
        rest = &rest[begin..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if let Some(stem) = word.strip_suffix("::")
            && let Some(group) = after.strip_prefix('{')
        {
            let group = &group[..group.find("};").unwrap_or(0)];
            for name in group.split(|c: char| !is_part(c)).filter(|n| !n.is_empty()) {
                found.insert(absolute(&format!("{stem}::{name}"), &module));
            }
        } else if word.contains("::") {
            found.insert(absolute(word, &module));
        }
    }
    found
}

/// `super` taken off, so that the path begins with `crate`.
fn absolute(path: &str, module: &[String]) -> String {
    let ups = path.split("::").take_while(|part| *part == "super").count();
    if ups == 0 {
        return path.to_owned();
    }
    let above = &module[..module.len().saturating_sub(ups)];
    let below = path.split("::").skip(ups);
    let parts = std::iter::once("crate")
        .chain(above.iter().map(String::as_str))
        .chain(below);
    parts.collect::<Vec<_>>().join("::")
}

fn begins_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn imports_point_one_way() {
    // Where the code is, and which other parts of the crate it may name.
    let layers: [(&str, &[&str]); 13] = [
        ("http", &["http", "rtmp", "limits"]),
        ("stream", &["stream", "http", "rtmp", "limits"]),
        ("net", &["net", "limits"]),
        (
            "worker",
            &[
                "worker", "control", "edge", "net", "stream", "http", "rtmp", "limits", "stats",
                "config", "logging",
            ],
        ),
        ("limits", &["limits", "rtmp"]),
        ("logging", &["logging", "limits"]),
        ("stats", &[]),
        (
            "admin",
            &[
                "admin", "worker", "net", "http", "stats", "config", "flags", "limits",
            ],
        ),
        ("edge", &["edge", "rtmp", "limits"]),
        ("control", &["control", "limits"]),
        ("flags", &["flags", "config", "edge", "limits", "rtmp"]),
        ("config", &["config", "edge", "stream", "limits"]),
        (
            "server",
            &[
                "server", "admin", "worker", "control", "net", "stats", "config", "limits",
                "logging",
            ],
        ),
    ];
    let test_only = test_only();
    let mut seen = BTreeSet::new();
    for file in rust_files("src") {
        if test_only
            .iter()
            .any(|path| file.with_extension("").starts_with(path))
        {
            continue;
        }
        let module = module_of(&file);
        let Some(top) = module.first() else { continue };
        let Some((_, allowed)) = layers.iter().find(|(name, _)| name == top) else {
            assert!(top == "main", "{}: no layer is said", file.display());
            continue;
        };
        for path in paths_in(&file) {
            let Some(inside) = path.strip_prefix("crate::") else {
                continue;
            };
            let part = inside.split("::").next().unwrap();
            seen.insert((top.clone(), part.to_owned()));
            assert!(
                allowed.contains(&part),
                "{} names {path}; {top} may name {allowed:?}",
                file.display()
            );
        }
    }
    // That the paths are found at all.
    for (from, to) in [("worker", "stream"), ("stream", "rtmp"), ("limits", "rtmp")] {
        assert!(seen.contains(&(from.to_owned(), to.to_owned())), "{seen:?}");
    }
}

/// The blocks of a file that begin with `head`, without that line.
fn blocks<'a>(code: &'a str, head: &'a str) -> impl Iterator<Item = &'a str> {
    let blocks = code.split(head).skip(1);
    blocks.map(|block| block.split("\n}").next().unwrap_or_default())
}

/// The names that stand between `before` and a parenthesis.
fn called<'a>(code: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    code.split(before).skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        rest[end..].starts_with(['(', ':']).then(|| &rest[..end])
    })
}

/// Which files of the worker each of them names, or calls a method of `Core` of.
fn worker_graph() -> BTreeMap<String, BTreeSet<String>> {
    const CORE: &str = "impl<S: Transport> Core<S> {";
    let files = program_files().into_iter();
    let files: Vec<PathBuf> = files
        .filter(|file| file.starts_with("src/worker") && !file.ends_with("mod.rs"))
        .collect();
    let name_of = |file: &Path| module_of(file).join("::");
    let codes: Vec<(String, String)> = files.iter().map(|its| (name_of(its), code(its))).collect();
    let mut methods = BTreeMap::new();
    for (name, code) in &codes {
        for block in blocks(code, CORE) {
            methods.extend(called(block, "fn ").map(|method| (method, name)));
        }
    }
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, (name, code)) in files.iter().zip(&codes) {
        let edges = graph.entry(name.clone()).or_default();
        let own = blocks(code, CORE).flat_map(|block| called(block, "self."));
        let calls = own.chain(called(code, "core."));
        edges.extend(
            calls
                .filter_map(|method| methods.get(method))
                .map(|its| (*its).clone()),
        );
        for path in paths_in(file) {
            let path = path.strip_prefix("crate::").unwrap_or_default();
            let named = codes.iter().filter(|(other, _)| begins_with(path, other));
            edges.extend(
                named
                    .max_by_key(|(other, _)| other.len())
                    .map(|its| its.0.clone()),
            );
        }
        edges.remove(name);
    }
    graph
}

#[test]
fn files_of_the_worker_call_each_other_one_way() {
    let mut graph = worker_graph();
    // That names and calls are found at all.
    let has = |from: &str, to: &str| graph[from].contains(to);
    assert!(has("worker::core", "worker::conn"), "{graph:?}");
    assert!(has("worker::turn", "worker::egress"), "{graph:?}");
    // What needs none of the others is taken away, until nothing is left but circles.
    while let Some(lowest) = graph.iter().find(|(_, needs)| needs.is_empty()) {
        let lowest = lowest.0.clone();
        graph.remove(&lowest);
        graph.values_mut().for_each(|needs| {
            needs.remove(&lowest);
        });
    }
    assert!(graph.is_empty(), "on circles, or above them: {graph:#?}");
}

// The protocol is a crate of its own, and has no standard library.
#[test]
fn streams_know_no_sockets_no_clock_and_no_log() {
    let forbidden = [
        "std::net",
        "std::time",
        "std::thread",
        "log",
        "mio",
        "socket2",
        "rustix",
    ];
    let mut checked = 0;
    for file in program_files() {
        if !file.starts_with("src/stream") {
            continue;
        }
        for path in paths_in(&file) {
            checked += 1;
            let named = forbidden.iter().find(|name| begins_with(&path, name));
            assert_eq!(named, None, "{} names {path}", file.display());
        }
    }
    assert!(checked > 50, "{checked} paths found");
    assert!(read("rtmp/src/lib.rs").contains("\n#![cfg_attr(not(test), no_std)]\n"));
}

#[test]
fn mio_and_the_clock_have_few_homes() {
    let reactor = Path::new("src/worker/event_loop/mio_reactor.rs");
    let server = Path::new("src/server.rs");
    let admin = Path::new("src/admin/server.rs");
    let mut homes = BTreeSet::new();
    for file in program_files() {
        let paths = paths_in(&file);
        if paths.iter().any(|path| begins_with(path, "mio")) {
            homes.insert(file.clone());
            let at_home = [reactor, server, admin].contains(&&*file);
            let at_home = at_home || file.starts_with("src/net");
            assert!(at_home, "{} names mio", file.display());
        }
        if code(&file).contains("Instant::now") {
            let at_home = [reactor, server, admin].contains(&&*file);
            assert!(at_home, "{} reads the clock", file.display());
        }
    }
    assert!(
        homes.contains(reactor) && homes.contains(server),
        "{homes:?}"
    );
}

#[test]
fn one_file_has_unsafe() {
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"deny\"\n"));
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let files = SOURCES.into_iter().flat_map(rust_files);
    let with_unsafe = files.filter(|file| code(file).split(|c| !is_word(c)).any(|w| w == "unsafe"));
    let with_unsafe: Vec<PathBuf> = with_unsafe.collect();
    // The allocator that counts for tests.
    let wanted = ["src/net/sys.rs", "tests/support/memory.rs"];
    assert_eq!(with_unsafe, wanted.map(PathBuf::from));
}

#[test]
fn no_line_is_too_long() {
    for dir in SOURCES {
        for file in rust_files(dir) {
            let text = fs::read_to_string(root().join(&file)).unwrap();
            for (number, line) in text.lines().enumerate() {
                let columns = line.chars().count();
                let place = format!("{}:{}", file.display(), number + 1);
                assert!(columns <= COLUMNS, "{place} has {columns} columns");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for dir in SOURCES {
        for file in rust_files(dir) {
            let text = fs::read_to_string(root().join(&file)).unwrap();
            let doc = text.lines().take_while(|line| line.starts_with("//!"));
            let lines = doc.count();
            let place = file.display();
            assert!(
                (1..=30).contains(&lines),
                "{place} opens with {lines} lines of it"
            );
        }
    }
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let dashboard = read("scripts/grafana.json");
    let metrics = tailwater::admin::metrics::table();
    let samples: BTreeSet<String> = metrics.iter().map(|metric| metric.sample()).collect();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut shown = BTreeSet::new();
    for expression in dashboard.split("\"expr\":").skip(1) {
        let expression = expression.lines().next().unwrap();
        let words = expression.split(|c| !is_part(c));
        let names = words.filter(|w| w.starts_with("tailwater_") || w.starts_with("process_"));
        for name in names {
            assert!(samples.contains(name), "{name} in {expression}");
            shown.insert(name.to_owned());
        }
    }
    assert!(shown.len() >= 20, "{shown:?}");
}

#[test]
fn every_figure_is_in_the_readme() {
    let readme = read("README.md");
    let relay = Relay::start(&["--push", "rtmp://127.0.0.1:9/live"]);
    let names: Vec<String> = wait_for("figures", support::SOON, || {
        let (all, target) = (relay.stats(), relay.target_stats("127.0.0.1:9/live"));
        (!target.is_empty()).then(|| all.into_keys().chain(target.into_keys()).collect())
    });
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "no `{name}`");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifests = [
        "Cargo.toml",
        "rtmp/Cargo.toml",
        "tests/Cargo.toml",
        "top/Cargo.toml",
    ];
    let manifest = manifests.map(read).concat();
    let reasons = read("CONTRIBUTING.md");
    let mut section = "";
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if ["[dependencies]", "[dev-dependencies]"].contains(&section)
            && !line.starts_with('#')
            && let Some((name, _)) = line.split_once(['=', '.'])
        {
            names.push(name.trim());
        }
    }
    assert!(names.contains(&"mio"), "{names:?}");
    for name in names {
        let reason = reasons
            .lines()
            .find(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
        assert!(reason.is_some(), "no row says why there is {name}");
    }
}

#[test]
fn what_the_documents_point_to_is_there() {
    let mut pointers = 0;
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for quoted in read(document).split('`').skip(1).step_by(2) {
            let path = quoted.split([' ', ':']).next().unwrap_or_default();
            let mut dirs = "src/ rtmp/src/ testkit/ top/ tests/ scripts/ bench/ web/".split(' ');
            let is_path = dirs.any(|dir| path.starts_with(dir));
            if is_path && !path.contains(['*', '{', '<']) {
                pointers += 1;
                assert!(root().join(path).exists(), "{document} names {path}");
            }
        }
    }
    assert!(pointers >= 5, "{pointers} pointers found");
}

#[test]
fn regression_lines_that_strangers_cause_are_limited() {
    // What operators do, and what a panic of the relay says.
    let exempt = ["notes.rs", "bans.rs", "contain.rs"];
    for entry in fs::read_dir(root().join("src/worker")).expect("the sources") {
        let path = entry.expect("a file").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if path.is_dir() || exempt.contains(&&*name) {
            continue;
        }
        let text = read(&path.to_string_lossy());
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let is_log = ["info!(", "warn!(", " log!("]
                .iter()
                .any(|it| line.contains(it));
            let before = &lines[at.saturating_sub(10)..at];
            let is_limited = before
                .iter()
                .any(|line| line.contains("notes.allow") || line.contains("count_accept_pause"));
            assert!(!is_log || is_limited, "{name}:{}: {line}", at + 1);
        }
    }
}
