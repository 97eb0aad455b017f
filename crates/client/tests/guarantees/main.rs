//! The guarantees of the client layer, at the surface of its manager: each test bears the number of its guarantee.

mod exchanges;
mod failures;
mod fixture;
mod lifetimes;
mod property;
mod refusals;
mod scenarios;
mod server;
mod step_up;
mod telemetry;
