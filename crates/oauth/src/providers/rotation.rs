//! [`Rotation`]: what presenting a refresh token twice does.

use std::time::Duration;

/// What presenting a refresh token twice does: how much is at stake when no answer came to the first time.
///
/// It says nothing about whether a refresh brings a new refresh token: any response may.
/// [RFC 9700 section 4.14](https://www.rfc-editor.org/rfc/rfc9700#section-4.14)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Rotation {
    /// Nothing: it stays good until it is revoked or expires.
    Reusable,
    /// Nothing for that long after it was presented first; later the provider ends the grant.
    Leeway(Duration),
    /// The provider ends the grant, new tokens and all.
    SingleUse,
}
