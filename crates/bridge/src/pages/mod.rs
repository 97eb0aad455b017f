//! Pages: what users see.
//!
//! They work without scripts, load nothing from anywhere, and cannot be framed. What clients say of themselves is shown as text, without
//! the characters that make text look like something else.

mod answer;
mod consent;
mod error;
mod leaving;
mod printable;
mod render;

pub(crate) use render::Pages;
