//! What a crowd, an outage and a disconnect cost at a provider: the experiments, with the numbers they must come to.

mod contention;
mod load;
mod server;
