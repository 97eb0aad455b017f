//! The guarantees of the refresher, G1 to G19: tested against a provider that rotates its refresh tokens and ends a grant when a refresh
//! token is presented twice, and against a store that can fail.

mod ends;
mod failures;
mod fixture;
mod layers;
mod processes;
mod property;
mod provider;
mod saving;
mod single_flight;
mod slow;
mod store;
mod telemetry;
