//! The costs of grants: fresh tokens, a wave of refreshes, a store, memory, concurrent requests, and scenarios beside rmcp.

pub(crate) mod access_token;
mod memory;
mod numbers;
mod report;
mod results;
pub(crate) mod rmcp;
mod scenes;
mod sqlite;
mod tokens;
mod wave;

pub(crate) use numbers::numbers;
pub(crate) use report::text;
pub(crate) use results::run;
