//! What a crowd, an outage and a disconnect cost at a provider: the experiments, with the numbers they must come to.

#[path = "../experiments/mod.rs"]
mod experiments;
mod scenarios;
mod stack;
