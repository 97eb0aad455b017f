//! The token requests of an [`McpLogin`](crate::McpLogin): the login of the user, and refreshes.

use std::{error::Error as _, sync::Arc};

use http::StatusCode;
use portcullis_core::ScopeSet;
use portcullis_oauth::{ProtocolError, TokenRequest, TokenResponse, metadata::AuthorizationServerMetadata};
use secrecy::SecretString;
use tokio::time::timeout;

use crate::{
    Binding, GrantError, LoginError, TokenEndpoint,
    login::{PendingLogin, with_offline_access},
    loopback::Page,
    mcp_binding::undiscovered,
    mcp_login::Inner,
    registration::KnownClient,
};

/// An authorization code that is being exchanged for tokens.
struct Redeeming<'a>(&'a Inner);

impl<'a> Redeeming<'a> {
    fn new(login: &'a Inner) -> Self {
        login.state().redeeming += 1;
        Self(login)
    }
}

impl Drop for Redeeming<'_> {
    fn drop(&mut self) {
        self.0.state().redeeming -= 1;
    }
}

impl Inner {
    pub(crate) async fn log_in(&self, binding: &Binding, asked: &ScopeSet) -> Result<TokenResponse, GrantError> {
        let server = self.discovery.server_of(&binding.issuer, &self.resource).await.map_err(undiscovered)?;
        let client = self.client(binding).await?;
        let asked = asked.union(&std::mem::take(&mut self.state().challenged));
        let needed = if asked.is_empty() {
            let metadata = self.discovery.resource(&self.resource, None).await.map_err(undiscovered)?;
            metadata.map(|metadata| metadata.scopes_supported()).unwrap_or_default()
        } else {
            asked
        };
        let scopes = with_offline_access(needed, &server);
        let redirect = self.user_agent.start(&client.redirect_uris).await;
        let mut redirect = redirect.map_err(|error| LoginError::UserAgent(error.into()))?;
        let login = PendingLogin::begin(&server, redirect.uri())?;
        let consent = scopes.contains("offline_access").then_some("consent");
        let url = login.url(&binding.client_id, &binding.resource, &scopes, self.prompt.as_deref().or(consent))?;

        let arrival = timeout(self.time_limit, redirect.arrival(&url, |query| login.is_answered_by(query))).await;
        let arrival = arrival.map_err(|_| LoginError::TimedOut(self.time_limit))?.map_err(LoginError::UserAgent)?;
        drop(redirect);
        let outcome = match login.code(&arrival.query) {
            Ok(code) => {
                let _redeeming = Redeeming::new(self);
                let request = TokenRequest::authorization_code(&code, login.redirect_uri());
                let request = request.with_verifier(&login.verifier).with_resource(&binding.resource);
                self.token_endpoint(&server, &client)?.request(&request).await
            }
            Err(error) => {
                arrival.show(Page::Failed(error.to_string()));
                return Err(error.into());
            }
        };
        match outcome {
            Ok(mut tokens) => {
                arrival.show(Page::Done);
                // Omitted: those of the request were granted.
                tokens.scopes.get_or_insert(scopes);
                Ok(tokens)
            }
            Err(error) => {
                arrival.show(Page::Failed("The authorization server has not issued a token.".to_owned()));
                Err(self.failed(binding, error).await)
            }
        }
    }

    pub(crate) async fn refresh(
        &self,
        binding: &Binding,
        refresh_token: &SecretString,
    ) -> Result<TokenResponse, GrantError> {
        let server = self.discovery.server_of(&binding.issuer, &self.resource).await.map_err(undiscovered)?;
        let client = self.client(binding).await?;
        let request = TokenRequest::refresh_token(refresh_token).with_resource(&binding.resource);
        match self.token_endpoint(&server, &client)?.request(&request).await {
            Ok(tokens) => Ok(tokens),
            Err(error) => Err(self.failed(binding, error).await),
        }
    }

    /// Returns the token endpoint for `client` at the URL in the metadata of `server`. What is known about the endpoint is shared by all
    /// requests to this issuer.
    fn token_endpoint(
        &self,
        server: &AuthorizationServerMetadata,
        client: &KnownClient,
    ) -> Result<TokenEndpoint, GrantError> {
        let missing = || LoginError::Metadata(ProtocolError::InvalidMember("token_endpoint"));
        let url = server.token_endpoint().cloned().ok_or_else(missing)?;
        let new = || {
            let (egress, issuer) = (self.clients.egress.clone(), server.issuer().clone());
            let endpoint = TokenEndpoint::at(egress, issuer, url.clone(), client.authentication.clone());
            self.dpop
                .iter()
                .fold(endpoint.with_clock(Arc::clone(&self.clock)), |endpoint, key| endpoint.with_dpop(key.clone()))
        };
        let mut state = self.state();
        let endpoint = state.token_endpoints.entry(server.issuer().clone()).or_insert_with(new);
        Ok(endpoint.clone().moved_to(url.clone(), client.authentication.clone()))
    }

    /// Reads from the `error` of a token request what is not valid any more: the metadata, or a registered client.
    async fn failed(&self, binding: &Binding, error: GrantError) -> GrantError {
        let protocol = error.cause().source().and_then(|source| source.downcast_ref());
        let (is_unknown, is_elsewhere) = match protocol {
            Some(error @ ProtocolError::ClientRefused { status, .. }) => (error.is_invalid_client(), is_gone(*status)),
            Some(ProtocolError::UnknownRefusal { status, .. } | ProtocolError::UnexpectedStatus(status)) => {
                (false, is_gone(*status))
            }
            _ => (false, false),
        };
        if is_unknown || is_elsewhere {
            self.discovery.invalidate_server(&binding.issuer);
        }
        if is_unknown {
            match self.clients.forget(&binding.issuer, &binding.client_id).await {
                Ok(true) => {
                    let mut state = self.state();
                    state.binding = None;
                    // It pauses after a rejection, which was about the client that is no more.
                    state.token_endpoints.remove(&binding.issuer);
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot remove a client that the authorization server does not know")
                }
            }
        }
        error
    }
}

/// Reports whether an endpoint is not where it was.
fn is_gone(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::METHOD_NOT_ALLOWED
}
