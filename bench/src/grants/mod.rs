//! What grants cost: tokens at hand, a wave of refreshes, a store, memory; what crowds cost at a provider, and scenarios beside
//! others.

mod access_token;
mod memory;
mod numbers;
mod report;
mod results;
mod rmcp;
mod scenes;
mod sqlite;
mod tokens;
mod wave;

pub(crate) use numbers::numbers;
pub(crate) use report::text;
pub(crate) use results::run;
