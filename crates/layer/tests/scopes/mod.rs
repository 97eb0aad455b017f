//! Scopes per server, per route and per operation.

mod bodies;
mod in_axum;
mod mirrored;
mod operations;
mod reader;
mod requests;
mod routes;
mod smuggling;
mod support;
