//! The state machine, without a store.
