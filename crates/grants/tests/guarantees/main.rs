//! What the refresher guarantees, each by the number under which the client side knows it (G1 to G19): against a provider that
//! rotates its refresh tokens and ends a grant when one comes twice, and a store that can fail.

mod ends;
mod failures;
mod layers;
mod observed;
mod property;
mod provider;
mod saving;
mod several;
mod single_flight;
mod slow;
mod store;
mod world;
