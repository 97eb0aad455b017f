//! Ports for servers that must know theirs before they listen.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that is free, and is not given out again in this process.
///
/// Below the range from which the system takes ports for outgoing connections, so that none of those is in the way.
pub(crate) fn free_port() -> u16 {
    let offset = process::id() % 10_000;
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(20_000 + (offset + step) % 10_000).expect("below 30000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
