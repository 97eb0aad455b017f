//! The provider behind a server, as handlers and clients see it.

mod in_axum;
mod required;
mod support;
