//! What many concurrent requests, an outage and disconnects cost at a provider, with exact numbers.

mod contention;
mod load;
mod server;
