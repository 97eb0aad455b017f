//! [`IntrospectionClient`]: who may ask about tokens.

use std::fmt;

use portcullis_core::ResourceUri;
use secrecy::SecretString;

use crate::session::SecretHash;

/// A resource server elsewhere, which may ask about the access tokens for its resource
/// ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)). Only a hash of its secret is kept.
///
/// Its resource has to be [one of the bridge's](crate::BridgeConfig::with_resource).
///
/// ```
/// use portcullis_bridge::IntrospectionClient;
/// use portcullis_core::ResourceUri;
///
/// let reports = ResourceUri::new("https://reports.example.com/mcp")?;
/// let resource_server = IntrospectionClient::new("reports", &"a long random secret".into(), reports);
/// # drop(resource_server);
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
    /// The resource server of `resource`, which calls itself `client_id` and proves it by `secret` (`client_secret_basic`).
    pub fn new(client_id: &str, secret: &SecretString, resource: ResourceUri) -> Self {
        Self { id: client_id.into(), secret: SecretHash::of_text(secret), resource }
    }

    /// Whether it is this one: the secret is compared in constant time.
    pub(crate) fn is(&self, client_id: &str, secret: &SecretString) -> bool {
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
