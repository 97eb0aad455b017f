//! The single-flight engine.
