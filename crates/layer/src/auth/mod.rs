//! Authentication of requests: configuration, layer, service and future.

mod config;
mod gate;
mod response;
mod service;
mod telemetry;

pub use config::{AuthConfig, StreamLifetime};
pub(crate) use gate::is_preflight;
pub use service::{Auth, AuthLayer, ResponseFuture};
