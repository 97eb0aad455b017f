//! The architecture as a test: what `docs/architecture.md` and the house rules say, checked against the sources.

mod arrows;
mod books;
mod doors;
mod files;
mod reachable;
mod sources;
mod spec_map;
