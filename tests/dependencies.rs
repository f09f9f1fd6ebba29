//! What `cargo deny check` would say of licences, sources and duplicate versions, but without a
//! network: deny.toml against Cargo.lock and against what cargo resolves for this platform. Crates
//! of other platforms are never downloaded, so their licences are not known here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

use std::collections::BTreeMap;
use std::process::Command;

const DENY: &str = include_str!("../deny.toml");
const LOCK: &str = include_str!("../Cargo.lock");

/// Returns the strings of the array `key = [...]` in deny.toml.
fn allowed(key: &str) -> Vec<&'static str> {
    let (_, list) = DENY.split_once(&format!("\n{key} = [")).expect(key);
    let (list, _) = list.split_once(']').expect("its end");
    list.split('"').skip(1).step_by(2).collect()
}

/// Returns name, version and licence of every crate in the relay's tree along `edges`.
fn tree(edges: &str) -> Vec<[String; 3]> {
    let output = Command::new(env!("CARGO"))
        .current_dir(support::root())
        .args(["tree", "--locked", "--offline", "--package", "tailwater"])
        .args(["--edges", edges, "--prefix", "none", "--no-dedupe"])
        .args(["--format", "{p}|{l}"])
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<[String; 3]> = text.lines().map(parse_crate).collect();
    assert!(crates.len() > 50, "{crates:?}");
    crates
}

/// Parses `name vVERSION (remarks)|LICENCE`.
fn parse_crate(line: &str) -> [String; 3] {
    let (package, licence) = line.split_once('|').expect(line);
    let mut words = package.split(' ');
    [words.next(), words.next(), Some(licence)].map(|field| field.expect(line).to_owned())
}

/// Returns the crates that are there in two versions.
fn duplicates(crates: &[[String; 3]]) -> Vec<&str> {
    let mut versions = BTreeMap::new();
    let is_second = |[name, version, _]: &&[String; 3]| {
        versions
            .entry(name.clone())
            .or_insert_with(|| version.clone())
            != version
    };
    crates
        .iter()
        .filter(is_second)
        .map(|[name, ..]| &**name)
        .collect()
}

/// Returns whether an SPDX expression is fulfilled by `allowed` licences. It has AND bind weaker
/// than OR, which refuses more than the other way round, never less.
fn is_licensed(expression: &str, allowed: &[&str]) -> bool {
    let plain = expression.replace('/', " OR ").replace(['(', ')'], "");
    let is_allowed = |licence: &str| allowed.contains(&licence.trim());
    plain
        .split(" AND ")
        .all(|part| part.split(" OR ").any(is_allowed))
}

/// Returns the sources in a lock file that are in none of `registries`; a path has no source.
fn foreign_sources<'a>(lock: &'a str, registries: &[&str]) -> Vec<&'a str> {
    let sources = lock
        .lines()
        .filter_map(|line| line.strip_prefix("source = "));
    sources
        .map(|source| source.trim_matches('"'))
        .filter(|source| {
            let registry = source.strip_prefix("registry+");
            !registry.is_some_and(|registry| registries.contains(&registry))
        })
        .collect()
}

#[test]
fn no_crate_is_there_in_two_versions() {
    assert_eq!(duplicates(&tree("normal,build")), [""; 0]);
    let lines = [
        "a v1.0|MIT",
        "b v1.0|MIT",
        "a v1.0|MIT",
        "a v2.0 (proc-macro)|MIT",
    ];
    assert_eq!(duplicates(&lines.map(parse_crate)), ["a"]);
}

#[test]
fn every_licence_is_allowed() {
    let allowed = allowed("allow");
    for [name, _, licence] in tree("normal,build,dev") {
        assert!(is_licensed(&licence, &allowed), "{name} has {licence:?}");
    }
    for licence in ["MIT", "GPL-3.0 OR MIT", "Zlib/MIT", "(MIT OR Zlib) AND ISC"] {
        assert!(is_licensed(licence, &["MIT", "ISC"]), "{licence}");
    }
    for licence in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Zlib) AND GPL-3.0",
        "MITX",
    ] {
        assert!(!is_licensed(licence, &["MIT", "ISC"]), "{licence}");
    }
}

#[test]
fn every_crate_is_from_crates_io() {
    let registries = allowed("allow-registry");
    assert_eq!(registries, ["https://github.com/rust-lang/crates.io-index"]);
    assert_eq!(foreign_sources(LOCK, &registries), [""; 0]);
    assert!(LOCK.matches("\nsource = ").count() > 50);
    let git = "git+https://example.com/a?rev=1#1";
    let other = "registry+https://example.com/index";
    let lock = format!("source = \"{git}\"\nsource = \"{other}\"\n");
    assert_eq!(foreign_sources(&lock, &registries), [git, other]);
}
