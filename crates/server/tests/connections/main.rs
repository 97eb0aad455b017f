//! The limits of connections, and the time-outs of each.

mod limits;
mod slots;
