//! The body of a response of [`Auth`](crate::Auth).

mod stream_end;
mod wrapper;

pub(crate) use stream_end::{Recheck, StreamEnd};
pub use wrapper::ResponseBody;
