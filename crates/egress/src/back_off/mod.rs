//! [`BackOffLayer`]: a failing provider gets one call per back-off window.

mod future;
mod layer;
mod provider;
mod retry_after;
mod service;
mod standing_refusal;
mod users;
mod window;

pub use future::BackOffFuture;
pub use layer::BackOffLayer;
pub use service::BackOff;
pub use standing_refusal::StandingRefusal;
pub use window::back_off_window;
