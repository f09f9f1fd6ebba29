//! The relay's binary, for tests that run it as a process.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The directory in which cargo has built the test that runs, by its profile: `target/debug`.
///
/// # Panics
///
/// Where the running binary is not `deps/NAME` of such a directory.
pub fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("proc is mounted");
    let deps = test.parent().filter(|dir| dir.ends_with("deps"));
    let profile = deps.and_then(Path::parent);
    profile.expect("cargo puts tests into deps/").to_owned()
}

/// What the binary is made of.
const SOURCES: [&str; 5] = ["Cargo.lock", "src", "rtmp/src", "top/src", "web"];

/// Returns the path of the relay's binary: that of the environment variable TAILWATER_BIN, or what
/// cargo has built with the profile of the test that runs. Where that is older than its sources, as
/// only another package has been tested, cargo builds it now.
///
/// # Panics
///
/// Where it does not build.
pub fn relay() -> &'static str {
    static BINARY: OnceLock<String> = OnceLock::new();
    BINARY.get_or_init(|| {
        let path = match std::env::var_os("TAILWATER_BIN") {
            Some(path) => path.into(),
            None => build(),
        };
        path.into_os_string()
            .into_string()
            .expect("a path in UTF-8")
    })
}

/// Returns when `path`, or the newest file below it, was changed.
fn changed(path: &Path) -> io::Result<SystemTime> {
    let mut newest = path.metadata()?.modified()?;
    if path.is_dir() {
        for entry in path.read_dir()? {
            newest = newest.max(changed(&entry?.path())?);
        }
    }
    Ok(newest)
}

fn build() -> PathBuf {
    let profile_dir = profile_dir();
    let binary = profile_dir.join("tailwater");
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let newest = |name: &&str| changed(&root.join(name)).expect("sources that can be read");
    let newest = SOURCES.iter().map(newest).max();
    if changed(&binary).ok() > newest {
        return binary;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // Cargo sets these for a test; with them, it would compile dependencies once more.
    for (name, _) in std::env::vars_os() {
        let is_of_package =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_package) {
            build.env_remove(name);
        }
    }
    // Cargo builds the binary of a package for its integration tests, and with the features that
    // they want of dependencies.
    build.args(["test", "--quiet", "--locked", "--no-run"]);
    build.args(["--test", "version_and_help"]);
    build.arg("--target-dir").arg(profile_dir.join(".."));
    if profile_dir.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(root).status();
    assert!(built.expect("cargo runs").success(), "the relay builds");
    binary
}
