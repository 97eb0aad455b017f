//! A provider that is asked about tokens: where, and how it is left alone while it fails.

mod endpoint;
mod line;

pub(crate) use endpoint::{Endpoint, Wanted};
pub(crate) use line::Line;
