//! The costs of the client layer: a token at hand, a request through the layer, refused tokens.

mod costs;
mod report;
mod stale;

pub(crate) use report::{numbers, run, text};
