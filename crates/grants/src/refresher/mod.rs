//! The `Refresher`: a tower service from a grant to tokens that are fresh.

mod config;
mod future;
mod request;
mod service;
mod upstream;

pub use config::RefresherConfig;
pub(crate) use config::SAVING;
pub use future::RefreshFuture;
pub use request::RefreshRequest;
pub use service::Refresher;
