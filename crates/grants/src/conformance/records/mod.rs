//! The suite that judges every [store of records](crate::records::RecordStore).

mod races;
mod rows;
mod suite;
mod tables;
#[cfg(test)]
mod tests;
mod times;
mod trial;

pub use suite::check;
