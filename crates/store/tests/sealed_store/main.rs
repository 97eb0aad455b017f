//! [`SealedStore`](portcullis_store::SealedStore): values are read as they were written, and sealed in between.

mod events;
mod expired;
mod failures;
mod fixture;
mod keys;
mod rotation;
mod texts;
mod values;
