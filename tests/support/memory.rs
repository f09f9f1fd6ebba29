//! What a thread has of memory: the system's allocator, counted for each thread, so that tests may
//! run side by side. It counts where a test crate makes [`Counting`] its global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    /// The most it held since [`watch`].
    static MOST: Cell<i64> = const { Cell::new(0) };
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// See the module text.
pub struct Counting;

fn count(bytes: usize, sign: i64) {
    let signed = i64::try_from(bytes).unwrap_or(i64::MAX);
    // A thread that ends has no counter any more, and nobody asks for it.
    let held = HELD.try_with(|held| {
        held.set(held.get() + sign * signed);
        held.get()
    });
    let _: Result<(), _> = MOST.try_with(|most| most.set(most.get().max(held.unwrap_or(0))));
    if sign > 0 {
        let _: Result<(), _> = ALLOCATED.try_with(|all| all.set(all.get() + bytes as u64));
        let _: Result<(), _> = ALLOCATIONS.try_with(|all| all.set(all.get() + 1));
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

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller keeps the contract of `realloc`, which is that of the system's.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`, which is that of the system's.
        unsafe { System.dealloc(block, layout) }
    }
}

/// The most this thread holds is asked for from here on.
pub fn watch() {
    MOST.set(held());
}

/// The most bytes this thread has held since [`watch`], also for a moment.
pub fn most() -> i64 {
    MOST.get()
}

/// Bytes that this thread has taken and not given back.
pub fn held() -> i64 {
    HELD.with(Cell::get)
}

/// Bytes that this thread has asked for, ever.
pub fn allocated() -> u64 {
    ALLOCATED.get()
}

/// How often it has asked.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}
