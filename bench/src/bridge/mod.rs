//! The costs of the bridge: logins, refreshes, bearer tokens and memory, with 100,000 stored sessions.

mod login;
mod numbers;
mod provider;
mod report;
mod results;
mod site;

pub(crate) use numbers::numbers;
pub(crate) use provider::serve as serve_provider;
pub(crate) use report::text;
pub(crate) use results::run;
