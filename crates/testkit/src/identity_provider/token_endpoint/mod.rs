//! The token endpoint and the revocation endpoint.

mod client;
mod process;
mod refusal;
mod render;

pub(super) use client::{basic, client};
pub(super) use process::{revocation, token};
pub(super) use refusal::Refusal;
