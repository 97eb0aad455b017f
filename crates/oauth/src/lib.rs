//! The messages of OAuth, as pure functions: a request is built, a response is judged, nothing is sent.
//!
//! No I/O, no runtime, no clock: the present time is an argument.

pub mod protected_resource;
