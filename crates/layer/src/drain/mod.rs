//! Draining of unread request bodies, so that the connection can be used for the next request.
//!
//! A server of HTTP/1.1 that responds before it has read the body must read the body nevertheless or close the connection
//! ([RFC 9112 section 9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)). hyper closes it without announcing that in the response,
//! so that the next request of the client fails. The layers of this crate therefore drain the body up to a limit before they reject a
//! request, and send `Connection: close` for longer bodies. [`DrainLayer`] does the same for any other service.

mod body;
mod early;
mod layer;

pub use body::DrainBody;
pub(crate) use early::{EarlyResponse, close};
pub use layer::{Drain, DrainFuture, DrainLayer};
