//! The `Refresher`: a tower service from a grant to fresh tokens.

mod config;
mod future;
mod refresher;
mod upstream;

pub use config::RefresherConfig;
pub(crate) use config::TIME_TO_SAVE;
pub use future::RefreshFuture;
pub use refresher::{RefreshRequest, Refresher};
