//! The architecture as a test: what `docs/architecture.md` and the conventions of `CONTRIBUTING.md` say, checked against the sources.

#![expect(clippy::panic, reason = "tests fail by it, also in functions that several of them use")]

mod arrows;
mod books;
mod defaults;
mod facts;
mod files;
mod links;
mod prose;
mod reachable;
mod restricted_calls;
mod sources;
mod spec_map;
mod telemetry;
