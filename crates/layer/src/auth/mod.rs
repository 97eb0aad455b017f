//! Authentication of requests: configuration, layer, service and future.

mod bearer;
mod config;
mod future;
mod gate;
mod response;
mod service;
mod telemetry;

pub use config::{AuthConfig, StreamLifetime};
pub use future::ResponseFuture;
pub(crate) use gate::is_preflight;
pub use service::{Auth, AuthLayer};
