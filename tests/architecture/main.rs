//! The architecture as a test: what `docs/architecture.md` and the house rules say, checked against the sources.

#![expect(clippy::panic, reason = "tests fail by it, also in functions that several of them use")]

mod arrows;
mod books;
mod defaults;
mod doors;
mod files;
mod links;
mod reachable;
mod sources;
mod spec_map;
mod telemetry;
