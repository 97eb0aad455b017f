//! Authentication of requests: configuration, layer, service and future.

mod bearer;
mod challenges;
mod config;
mod future;
mod gate;
mod layer;
mod response;
mod service;
mod telemetry;
mod token_recheck;

pub use config::{AuthConfig, StreamLifetime};
pub use future::ResponseFuture;
pub(crate) use gate::is_preflight;
pub use layer::AuthLayer;
pub use service::Auth;
