//! The rest of a request's body when the response does not wait for it: read and dropped, so that the next request on the
//! connection works.
//!
//! A client of HTTP/1.1 may send a body after its head, and a server that answers in between has to read it all the same or
//! close the connection ([RFC 9112 section 9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)). hyper closes, and does not
//! say so in the response; the client finds out when its next request fails. The layers of this crate therefore read a bounded
//! rest before they reject a request, and say `Connection: close` where that is not enough. [`DrainLayer`] does the same for
//! any other service.

mod body;
mod early;
mod future;
mod layer;
mod rest;
mod service;

pub use body::DrainBody;
pub(crate) use early::{Early, close};
pub use future::DrainFuture;
pub use layer::DrainLayer;
pub use service::Drain;
