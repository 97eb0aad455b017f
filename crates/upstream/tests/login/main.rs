//! A user logs in at a provider: through the browser, by code, ID token and profile.

mod failures;
mod forged;
mod vendors;
mod world;
