//! Several processes with one store, of grants, of a bridge or of a desktop program, and what `kill -9` does to them. The provider is in
//! the process of the tests.

#![cfg(unix)]
#![expect(clippy::panic, reason = "tests fail by it, also in functions that several of them use")]

mod bridge;
mod child;
mod commands;
mod crash_before_save;
mod desktop;
mod fixture;
mod killing;
mod provider;
mod sharing;
mod worker;
