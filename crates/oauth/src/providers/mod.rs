//! Authorization servers by vendor: each one file of data and pure functions.

mod rotation;

pub use rotation::Rotation;
