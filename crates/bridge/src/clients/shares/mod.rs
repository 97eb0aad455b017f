//! Shares: how many self-described clients one user may bring into use, so that no user takes the room of others.

mod share;
mod users;

pub(super) use share::Shares;
pub(super) use users::Users;
