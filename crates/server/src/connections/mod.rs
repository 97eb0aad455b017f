//! Serving HTTP/1.1 and HTTP/2 on connections that are limited in number and in time.
//!
//! [`serve`] accepts connections and hands each to [`serve_connection`]:
//!
//! - there are at most so many at once, and at most so many from one address ([`Limits`]);
//! - one without a request is closed: a silent one, half a head, a head byte by byte, an HTTP/2 connection without streams;
//! - the body of a request has to arrive in time, and a client has to take what it is sent;
//! - what a response leaves of a request's body is drained, and where that is too much, the connection ends with a response that
//!   says so and that the client can still read.
//!
//! A request whose body has been read takes as long as it likes: event streams are not touched.

mod accept;
mod activity;
mod connection;
mod descriptors;
mod limits;
mod occasional;
mod request_body;
mod response_body;
mod serve;
mod slots;
mod stream;

pub use accept::accept;
pub use connection::serve_connection;
pub use descriptors::raise_descriptor_limit;
pub use limits::Limits;
pub use request_body::{BodyError, RequestBody, TimedBody};
pub use response_body::TrackedBody;
pub use serve::serve;
