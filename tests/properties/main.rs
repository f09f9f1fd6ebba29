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

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use proptest::test_runner::Config;

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

/// The system's allocator, counted for each thread: tests run side by side.
struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

/// Bytes this thread holds.
fn held() -> i64 {
    HELD.get()
}

/// Bytes this thread has asked for, ever.
fn allocated() -> u64 {
    ALLOCATED.get()
}

fn count(bytes: usize, sign: i64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    // While a thread ends there may be nothing to count in.
    let _: Result<(), _> = HELD.try_with(|held| held.set(held.get() + sign * bytes));
    if sign > 0 {
        let bytes = bytes.unsigned_abs();
        let _: Result<(), _> = ALLOCATED.try_with(|all| all.set(all.get() + bytes));
    }
}

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`, which is that of the system's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
