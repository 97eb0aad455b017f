//! An HTTP/1.1 and HTTP/2 server whose connections are limited in number and in time.
//!
//! [`serve`] accepts connections and passes each to [`serve_connection`]:
//!
//! - The number of connections is limited, in total and per client address ([`Limits`]).
//! - A connection without a request is closed. This includes a connection that sends nothing, a request head that is incomplete
//!   or arrives byte by byte, and an HTTP/2 connection without streams.
//! - A request body must arrive in time, and the client must read the response.
//! - The part of a request body that the service has not read is drained. If it is too long, the response carries
//!   `Connection: close`, and the connection stays open long enough for the client to read the response.
//!
//! Once its body has been read, a request has no time limit: event streams are not affected.

mod activity;
mod limits;
mod serve;

pub use activity::{BodyError, RequestBody, TimedBody, TrackedBody};
pub use limits::Limits;
pub(crate) use limits::LogRateLimit;
pub use serve::{accept, raise_descriptor_limit, serve, serve_connection};
