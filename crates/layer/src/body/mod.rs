//! The body of a response that went through the gate.

mod stream_end;
mod wrapper;

pub use wrapper::ResponseBody;
