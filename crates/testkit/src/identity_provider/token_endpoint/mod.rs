//! The token endpoint and the revocation endpoint.

mod client;
mod parameters;
mod process;
mod refusal;

pub(super) use client::{authenticated, basic, client};
pub(super) use parameters::{Parameters, form, json_object};
pub(super) use process::{revocation, token};
pub(super) use refusal::Refusal;
