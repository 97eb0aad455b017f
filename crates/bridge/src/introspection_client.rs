//! [`IntrospectionClient`]: a resource server that may introspect tokens.

use std::fmt;

use portcullis_core::ResourceUri;
use secrecy::SecretString;

use crate::session::SecretHash;

/// Another resource server, which may introspect the access tokens for its resource
/// ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)). Only a hash of its secret is stored.
///
/// Its resource has to be [one of the bridge's](crate::BridgeConfig::with_resource).
///
/// ```
/// use portcullis_bridge::IntrospectionClient;
/// use portcullis_core::ResourceUri;
///
/// let reports = ResourceUri::new("https://reports.example.com/mcp")?;
/// let client = IntrospectionClient::new("reports", &"a long random secret".into(), reports);
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct IntrospectionClient {
    id: Box<str>,
    secret: SecretHash,
    pub(crate) resource: ResourceUri,
}

impl IntrospectionClient {
    /// Creates the client of the resource server `resource`, which authenticates with `client_secret_basic`.
    pub fn new(client_id: &str, secret: &SecretString, resource: ResourceUri) -> Self {
        Self { id: client_id.into(), secret: SecretHash::of_text(secret), resource }
    }

    /// Reports whether id and secret are those of this client. The secret is compared in constant time.
    pub(crate) fn authenticates(&self, client_id: &str, secret: &SecretString) -> bool {
        let is_secret = self.secret == SecretHash::of_text(secret);
        *self.id == *client_id && is_secret
    }
}

impl fmt::Debug for IntrospectionClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionClient")
            .field("id", &self.id)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}
