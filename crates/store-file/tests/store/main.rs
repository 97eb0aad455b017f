//! The store on real files: what goes wrong with them, and what is never lost.

mod conformance;
mod damage;
mod disk;
mod fixture;
mod keys;
mod killing;
mod locks;
