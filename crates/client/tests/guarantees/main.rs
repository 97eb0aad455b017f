//! The guarantees of the client layer, at the surface of its manager: each test bears the number of its guarantee.

mod exchanges;
mod fixture;
mod server;
