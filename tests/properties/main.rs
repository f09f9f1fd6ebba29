//! What holds for any input, tried with thousands of them: segmentation changes nothing, what is
//! encoded decodes to itself, memory, work and answers stay within bounds, everything is given
//! back at the end, and nobody's stream depends on what others send. (That players' bytes are a
//! session to an independent reader is in bench/tests, which has one.)
//!
//! `PROPTEST_CASES` sets the number of cases of each property.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

mod budgets;
mod identity;
mod relay;
mod scripts;
mod segments;

use proptest::test_runner::Config;
use support::memory::Counting;

/// So many cases, unless the environment says otherwise.
fn cases(usual: u32) -> Config {
    let config = Config::default();
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config.cases,
        None => usual,
    };
    Config {
        cases,
        // What fails is printed, and kept as a test by whoever mends it.
        failure_persistence: None,
        ..config
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
