//! Upstream tokens in handlers, and the responses to clients.

mod in_axum;
mod required;
mod support;
