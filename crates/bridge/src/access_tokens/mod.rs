//! Access tokens: what a client presents, and by which hash its session knows it.

mod kind;

pub use kind::AccessTokenKind;
pub(crate) use kind::Minted;
