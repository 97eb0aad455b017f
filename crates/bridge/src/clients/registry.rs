//! [`Clients`]: all clients of a bridge.

use std::sync::Arc;

use http::HeaderMap;
use portcullis_core::Clock;
use portcullis_egress::Egress;
use portcullis_grants::records::Records;

use super::{Client, Origin};
use crate::{
    BridgeConfig,
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
};

/// All clients of a bridge.
#[derive(Debug)]
pub(crate) struct Clients {
    configured: Vec<Client>,
}

impl Clients {
    pub(crate) fn new(config: &BridgeConfig, _: Records, _: Egress, _: Arc<dyn Clock>) -> Self {
        Self { configured: config.clients.clone() }
    }

    /// The client called `id`.
    ///
    /// # Errors
    /// `invalid_client` if there is none, `temporarily_unavailable` if nobody can tell.
    pub(crate) async fn find(&self, id: &str) -> Result<Client, OAuthError> {
        let found = self.configured.iter().find(|client| client.id() == id).cloned();
        found.ok_or_else(|| OAuthError::new(ErrorCode::InvalidClient, "there is no such client"))
    }

    /// The client that a request to the token endpoint comes from, which has proved who it is as it has to.
    ///
    /// # Errors
    /// `invalid_client` if it has not, `temporarily_unavailable` if nobody can tell.
    pub(crate) async fn authenticate(&self, _: &HeaderMap, form: &Parameters) -> Result<Client, OAuthError> {
        self.find(form.required("client_id")?).await
    }

    /// Whether `client` may be sent errors without a page in between: the operator vouches for where they go.
    pub(crate) fn is_trusted(&self, client: &Client) -> bool {
        client.origin == Origin::Configured
    }

    /// A client has been given tokens: its registration is kept.
    pub(crate) async fn used(&self, _: &Client) -> Result<(), OAuthError> {
        Ok(())
    }
}
