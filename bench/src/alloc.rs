//! An allocator that counts allocations while counting is enabled; otherwise it costs one untaken branch.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
};

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

/// The system allocator with counters.
pub(crate) struct Counting;

/// The allocations during a piece of work.
#[derive(Clone, Copy, Default)]
pub(crate) struct Allocations {
    /// The number of allocations.
    pub(crate) count: u64,
    /// The allocated bytes.
    pub(crate) bytes: u64,
    /// The bytes that were still in use afterwards.
    pub(crate) live: i64,
}

impl Allocations {
    /// Returns the share of one of `times` repetitions.
    pub(crate) fn each(self, times: usize) -> Self {
        Self { count: self.count / times as u64, bytes: self.bytes / times as u64, live: self.live / times as i64 }
    }
}

/// Runs `work` and counts its allocations on all threads.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (T, Allocations) {
    ALLOCATIONS.store(0, Relaxed);
    ALLOCATED.store(0, Relaxed);
    LIVE.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
    let result = work();
    COUNTING.store(false, Relaxed);
    (result, Allocations { count: ALLOCATIONS.load(Relaxed), bytes: ALLOCATED.load(Relaxed), live: LIVE.load(Relaxed) })
}

fn grown(size: usize) {
    ALLOCATIONS.fetch_add(1, Relaxed);
    ALLOCATED.fetch_add(size as u64, Relaxed);
    LIVE.fetch_add(size as i64, Relaxed);
}

// SAFETY: every call is forwarded unchanged to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            grown(layout.size());
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            grown(layout.size());
        }
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            grown(size);
            LIVE.fetch_sub(layout.size() as i64, Relaxed);
        }
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if COUNTING.load(Relaxed) {
            LIVE.fetch_sub(layout.size() as i64, Relaxed);
        }
        unsafe { System.dealloc(block, layout) }
    }
}
