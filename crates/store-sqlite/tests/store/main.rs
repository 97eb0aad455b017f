//! The store on real files: what goes wrong with them, and what is never lost.

mod concurrent_writers;
mod conformance;
mod disk;
mod durability;
mod folder;
mod keys;
mod locks;
mod modes;
mod process;
mod records;
mod replaced;
mod schema;
mod sealed;
