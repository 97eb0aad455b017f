//! Which authorization server and which client the tokens of an [`McpLogin`](crate::McpLogin) come from.

use portcullis_core::{AuthError, Challenge, Issuer, Reason, ScopeSet};
use portcullis_oauth::ProtocolError;

use crate::{
    Binding, GrantError, LoginError,
    mcp_login::Inner,
    registration::{KnownClient, NoClientError},
};

impl Inner {
    pub(crate) async fn resolve(&self, challenge: Option<Challenge>) -> Result<Binding, GrantError> {
        let known = self.known_binding().await;
        let scopes = challenge.as_ref().and_then(|challenge| ScopeSet::parse(challenge.param("scope")?).ok());
        if let Some(scopes) = scopes.filter(|scopes| !scopes.is_empty()) {
            self.state().challenged = scopes;
        }
        let found = self.discovery.resource(&self.resource, challenge.as_ref()).await;
        let metadata = match (found, &known) {
            (Err(error), Some(binding)) if is_outage(&error) => return Ok(binding.clone()),
            // A challenge has named the place of the metadata, before a restart.
            (Ok(None), Some(binding)) if !names_metadata(challenge.as_ref()) => return Ok(binding.clone()),
            (Ok(metadata), _) => metadata,
            (Err(error), _) => return Err(undiscovered(error)),
        };
        let (resource, issuer) = match &metadata {
            Some(metadata) => {
                (metadata.resource().clone(), self.choose(metadata.authorization_servers(), known.as_ref()))
            }
            // The revision 2025-03-26 of MCP: the authorization server is at the origin of the resource.
            None => (self.resource.clone(), Issuer::new(self.resource.origin()).ok()),
        };
        let issuer =
            issuer.ok_or_else(|| undiscovered(ProtocolError::InvalidMember("authorization_servers").into()))?;
        let is_same = |known: &Binding| {
            known.resource == resource
                && known.issuer == issuer
                && known.subject == self.subject
                && known.scopes == self.scopes
        };
        if let Some(binding) = known.filter(is_same) {
            return Ok(binding);
        }
        let client_id = self.identify(&issuer).await?;
        let mut binding = Binding::new(resource, issuer, &client_id).with_scopes(self.scopes.clone());
        binding.subject.clone_from(&self.subject);
        tracing::debug!(resource = %binding.resource, issuer = %binding.issuer, client_id, "resolved the authorization server");
        self.state().binding = Some(binding.clone());
        Ok(binding)
    }

    /// Returns the last binding, unless its client is not registered any more: then another one has to be registered.
    async fn known_binding(&self) -> Option<Binding> {
        let binding = self.state().binding.clone()?;
        let client = self.client(&binding).await;
        client.as_ref().map_or_else(|error| !NoClientError::is_gone(error), |_| true).then_some(binding)
    }

    /// Chooses one of the authorization servers of the resource: the one in use, else one where a client is configured, else the first.
    fn choose(&self, servers: &[Issuer], known: Option<&Binding>) -> Option<Issuer> {
        let in_use = servers.iter().find(|server| known.is_some_and(|known| known.issuer == **server));
        let configured = || servers.iter().find(|server| self.clients.configured_issuers().any(|own| own == *server));
        in_use.or_else(configured).or_else(|| servers.first()).cloned()
    }

    /// Returns the id of the client at `issuer`. Without a request, if it is configured.
    async fn identify(&self, issuer: &Issuer) -> Result<String, GrantError> {
        if let Some(client) = self.clients.configured_at(issuer) {
            return Ok(client.client_id().to_owned());
        }
        let server = self.discovery.server_of(issuer, &self.resource).await.map_err(undiscovered)?;
        let redirect_uri = async || {
            let redirect = self.user_agent.start(&[]).await.map_err(|error| LoginError::UserAgent(error.into()))?;
            Ok(redirect.uri().to_owned())
        };
        self.clients.identify(&server, redirect_uri).await
    }

    /// Returns the client of `binding`. If it is not known any more, the next resolution registers another one.
    pub(crate) async fn client(&self, binding: &Binding) -> Result<KnownClient, GrantError> {
        let client = self.clients.known(&binding.issuer, &binding.client_id).await;
        if client.as_ref().is_err_and(NoClientError::is_gone) {
            self.state().binding.take_if(|known| known == binding);
        }
        client
    }
}

fn names_metadata(challenge: Option<&Challenge>) -> bool {
    challenge.is_some_and(|challenge| challenge.param("resource_metadata").is_some())
}

/// Reports whether metadata could not be fetched, in contrast to metadata that is invalid.
fn is_outage(error: &AuthError) -> bool {
    !matches!(error.reason(), Reason::ClientRefused | Reason::ProviderMisbehaved)
}

/// Returns the error for metadata that cannot be fetched or used. No credential was presented.
pub(crate) fn undiscovered(error: AuthError) -> GrantError {
    if is_outage(&error) {
        return GrantError::not_sent(error);
    }
    GrantError::misconfigured(AuthError::new(Reason::ClientRefused).with_source(error))
}
