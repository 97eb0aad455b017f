//! [`ApplicationType`]: where a client runs.

use crate::clients::{RedirectUri, metadata::InvalidMetadata};

/// Where a client runs, which decides where its codes may go.
/// [OpenID Connect Dynamic Client Registration, section 2](https://openid.net/specs/openid-connect-registration-1_0.html#ClientMetadata)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ApplicationType {
    /// On a server: codes go to `https`, and not to loopback.
    Web,
    /// On the user's machine: to loopback and the schemes of apps as well.
    Native,
}

impl ApplicationType {
    /// The one that is `named`. A client that names none is what its redirect URIs make it: most MCP clients run on the user's
    /// machine, and do not say so.
    pub(super) fn of(named: Option<&str>, redirect_uris: &[RedirectUri]) -> Result<Self, InvalidMetadata> {
        let is_local = redirect_uris.iter().any(|uri| uri.is_loopback() || uri.is_app());
        match named {
            None if is_local => Ok(Self::Native),
            None => Ok(Self::Web),
            Some("native") => Ok(Self::Native),
            Some("web") if is_local => {
                Err(InvalidMetadata::new("redirect_uris", "those of a web application are https and not on loopback"))
            }
            Some("web") => Ok(Self::Web),
            Some(_) => Err(InvalidMetadata::new("application_type", "it is neither web nor native")),
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
}
