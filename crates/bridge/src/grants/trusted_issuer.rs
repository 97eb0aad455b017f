//! [`TrustedIssuer`]: whose assertions are good for tokens.

use portcullis_core::Issuer;
use portcullis_remote::RemoteKeySet;

/// An identity provider of the enterprise, whose assertions (ID-JAG) are good for tokens: its administrator, not the user, says which
/// client may come here. MCP, Enterprise-Managed Authorization.
///
/// Its users are (issuer, subject), as those who log in at a provider of this name would be. They have nothing at the bridge's
/// provider: [`Upstream`](portcullis_core::Upstream) of such a user has no token.
///
/// ```
/// use portcullis_bridge::TrustedIssuer;
/// use portcullis_core::Issuer;
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_remote::RemoteKeySet;
///
/// let issuer = Issuer::new("https://idp.example.com")?;
/// let keys = RemoteKeySet::discovered(issuer.clone(), Egress::new(EgressConfig::new())?);
/// let trusted = TrustedIssuer::new(issuer, keys);
/// # drop(trusted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TrustedIssuer {
    pub(super) issuer: Issuer,
    pub(super) keys: RemoteKeySet,
}

impl TrustedIssuer {
    /// The identity provider `issuer`, which signs by `keys`.
    pub const fn new(issuer: Issuer, keys: RemoteKeySet) -> Self {
        Self { issuer, keys }
    }
}
