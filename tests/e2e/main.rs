//! Stories with real components.
