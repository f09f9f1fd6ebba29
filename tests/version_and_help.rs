//! What the binary says of itself. This test is in the package of the binary, so that cargo builds
//! the binary before any test runs; see `testkit/src/binary.rs`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails panics, and says where"
)]

use std::process::Command;

/// What the binary prints with `argument`.
fn printed(argument: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .arg(argument)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn version_and_help_are_printed() {
    let wanted = concat!("tailwater ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(printed("--version"), wanted);
    let help = printed("--help");
    for opt in tailwater::flags::OPTIONS {
        let flag = format!("--{}", opt.name);
        assert!(help.contains(&flag), "{flag}");
    }
}
