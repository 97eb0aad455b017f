//! Limits: how often whom.

mod config;

pub(crate) use config::Limits;
