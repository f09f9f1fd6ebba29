//! What the scripts say before they begin: what is missing is told at once and all together, and
//! nothing is installed or built before.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use support::{root, scratch};

/// A machine without Rust on which namespaces cannot be made, and whatever would install, build or
/// fetch leaves a mark: a directory to be the first of PATH.
fn bare_machine(dir: &Path) {
    let program = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    for name in ["apt-get", "curl", "pip", "pip3", "npm", "rustup", "wget"] {
        program(
            name,
            &format!("touch {}/$(basename \"$0\").run; exit 1", dir.display()),
        );
    }
    program("unshare", "exit 1");
}

fn run(dir: &Path, script: &str, arguments: &[&str]) -> Output {
    let path = format!("{}:/usr/bin:/bin", dir.display());
    Command::new("bash")
        .arg(root().join("scripts").join(script))
        .args(arguments)
        .env_clear()
        .envs([("PATH", &*path), ("HOME", dir.to_str().unwrap())])
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .output()
        .unwrap()
}

/// Runs a script on such a machine; what it said when it failed.
#[track_caller]
fn refusal(script: &str, arguments: &[&str]) -> String {
    let dir = scratch("bare");
    bare_machine(&dir);
    let output = run(&dir, script, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{script}: {said}");
    let marks = std::fs::read_dir(&dir).unwrap();
    let marks = marks.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let marks: Vec<String> = marks.filter(|name| name.ends_with(".run")).collect();
    assert!(marks.is_empty(), "{script} ran {marks:?}: {said}");
    assert!(!dir.join("target").exists(), "{script} built: {said}");
    said
}

#[test]
fn regression_scripts_say_what_is_missing_before_they_install() {
    for script in ["demo", "test"] {
        let said = refusal(script, &[]);
        assert!(said.contains("cargo"), "{script}: {said}");
    }
    // All at once.
    let said = refusal("test", &[]);
    assert!(said.contains("namespaces"), "{said}");
}

#[test]
fn the_steps_of_the_tests_are_listed_and_chosen_by_name() {
    let dir = scratch("list");
    let list = run(&dir, "test", &["--list"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("end-to-end tests"), "{list}");
    assert!(list.lines().last().unwrap().contains("minutes"), "{list}");
    let said = refusal("test", &["--from", "the moon"]);
    assert!(said.contains("no step is called 'the moon'"), "{said}");
}
