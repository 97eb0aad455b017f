//! A provider that is asked about tokens: where, and how it is left alone while it fails.

mod line;

pub(crate) use line::Line;
