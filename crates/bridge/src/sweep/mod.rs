//! Sweeping: what is over is removed.

mod schedule;
#[cfg(test)]
mod tests;

pub(crate) use schedule::start;
