//! [`ErrorClass`]: what an error of a vendor means, whatever it looks like.

/// What an error of a vendor means, whatever it looks like; see [`Vendor::fault`](crate::Vendor::fault).
///
/// An outage looks the same everywhere: [`Fault::status`](crate::Fault::status), [`Fault::hang`](crate::Fault::hang),
/// [`Fault::disconnect`](crate::Fault::disconnect).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The access token is no good. From UserInfo.
    AccessTokenDead,
    /// The token is good, and may not do this: nobody is helped by another login. From UserInfo.
    Forbidden,
    /// The refresh token is no good. From the token endpoint.
    RefreshTokenDead,
    /// The client's credentials are no good. From the token endpoint.
    ClientRefused,
    /// The client is to come back later. From anywhere.
    RateLimited,
}

impl ErrorClass {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AccessTokenDead, Self::Forbidden, Self::RefreshTokenDead, Self::ClientRefused, Self::RateLimited];
}
