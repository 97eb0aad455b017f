//! The body of a response that went through the gate.

mod recheck;
mod stream_end;
mod wrapper;

pub(crate) use recheck::Recheck;
pub(crate) use stream_end::StreamEnd;
pub use wrapper::ResponseBody;
