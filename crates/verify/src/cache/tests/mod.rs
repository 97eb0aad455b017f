//! The contract of the cache, rule by rule.

mod fixture;
mod invalidation;
mod lifetime;
mod outage;
mod resolution;
