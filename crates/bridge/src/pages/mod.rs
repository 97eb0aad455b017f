//! Pages: what users see.

mod render;

pub(crate) use render::Pages;
