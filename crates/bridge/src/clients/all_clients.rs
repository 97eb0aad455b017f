//! [`Clients`]: all clients of a bridge.

use std::{collections::HashMap, sync::Arc};

use http::HeaderMap;
use portcullis_core::Clock;
use portcullis_egress::Egress;
use portcullis_store::SealedStore;

use super::{
    Client, ClientAuthenticationMethod, ClientSource, RegisteredClient, RegistrationPolicy,
    authentication::{AUTHENTICATION_FAILED, ClientAssertions, Credentials, Proof},
    client::AuthenticationRequirement,
    documents::Documents,
    metadata::for_log,
    registrations::Registrations,
    shares::Shares,
};
use crate::{
    BridgeConfig,
    limits::{Caller, RateLimits},
    parameters::Parameters,
    response::{ErrorCode, OAuthError},
    session::{SecretHash, Session, Sessions},
};

/// All clients of a bridge.
#[derive(Debug)]
pub(crate) struct Clients {
    configured: HashMap<Box<str>, Client>,
    documents: Documents,
    registrations: Registrations,
    shares: Shares,
    assertions: ClientAssertions,
    limits: RateLimits,
}

impl Clients {
    pub(crate) fn new(
        config: &BridgeConfig,
        records: SealedStore,
        sessions: Sessions,
        egress: Egress,
        limits: RateLimits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let registrations = Registrations::new(config, records.clone(), sessions.clone(), Arc::clone(&clock));
        let RegistrationPolicy { max_clients, idle_ttl, .. } = config.registration;
        let shares = Shares::new(max_clients, idle_ttl, records.clone(), sessions, Arc::clone(&clock));
        let documents = Documents::new(config, records.clone(), egress.clone(), limits.clone(), Arc::clone(&clock));
        Self {
            configured: config.clients.iter().map(|client| (client.id.clone(), client.clone())).collect(),
            documents,
            registrations,
            shares,
            assertions: ClientAssertions::new(config, records, egress, limits.clone(), clock),
            limits,
        }
    }

    /// Returns the client `id`, which a request of `caller` names. Configured clients take precedence. The ids of clients with a document
    /// are URLs, and no other ids are.
    ///
    /// # Errors
    /// `invalid_client` if it is unknown, `temporarily_unavailable` if that cannot be determined.
    pub(crate) async fn find(&self, id: &str, caller: &Caller) -> Result<Client, OAuthError> {
        if let Some(client) = self.configured.get(id) {
            return Ok(client.clone());
        }
        if id.starts_with("https://") || id.starts_with("http://") {
            return self.documents.find(id, caller).await;
        }
        let found = self.registrations.find(id).await?;
        found.ok_or_else(|| {
            let expected = "a client that is configured, or whose registration has not expired";
            OAuthError::new(ErrorCode::InvalidClient, "unknown client")
                .with_found(&for_log(id), expected)
                .with_key("bridge.clients")
        })
    }

    /// Authenticates the client of a request to the token or the revocation endpoint.
    ///
    /// # Errors
    /// `invalid_client` if authentication fails, 429 after too many failures, `invalid_request` for several methods,
    /// `temporarily_unavailable` if the credentials cannot be verified.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        form: &Parameters,
        caller: &Caller,
    ) -> Result<Client, OAuthError> {
        let credentials = Credentials::from_request(headers, form)?;
        if matches!(credentials.proof, Proof::None) {
            // Public clients are exempt from the limit: it must not lock them out when another caller guesses credentials for their id.
            return self.verify(credentials, caller).await;
        }
        let client_id = credentials.client_id.clone();
        self.limits.check_authentication(&client_id, caller)?;
        self.verify(credentials, caller).await.inspect_err(|error| {
            if error.code == ErrorCode::InvalidClient {
                self.limits.record_failed_authentication(&client_id, caller);
            }
        })
    }

    async fn verify(&self, credentials: Credentials, caller: &Caller) -> Result<Client, OAuthError> {
        let Credentials { client_id, proof, is_in_header } = credentials;
        // An unknown client gets the same error as a wrong secret. The log has the cause.
        let (client, unknown) = match self.find(&client_id, caller).await {
            Ok(client) => (Some(client), None),
            Err(error) if error.code == ErrorCode::InvalidClient => (None, Some(error)),
            Err(error) => return Err(error),
        };
        let (presented, registered) = (proof.method(), client.as_ref().map(|client| client.authentication.method()));
        self.check_proof(client, proof, caller).await?.ok_or_else(|| {
            let wrong = || {
                let error = OAuthError::new(ErrorCode::InvalidClient, AUTHENTICATION_FAILED);
                error.with_found(presented, registered.unwrap_or_default())
            };
            let error = unknown.map_or_else(wrong, |error| error.with_description(AUTHENTICATION_FAILED));
            if is_in_header { error.with_challenge() } else { error }
        })
    }

    /// Returns the client if `proof` authenticates it, or if the client needs none: then as a public client.
    async fn check_proof(
        &self,
        client: Option<Client>,
        proof: Proof,
        caller: &Caller,
    ) -> Result<Option<Client>, OAuthError> {
        match (proof, client) {
            (Proof::None, client) => Ok(client.and_then(Client::without_authentication)),
            (Proof::Secret(secret), client) => {
                // Hashed for unknown clients too, so that the time does not reveal whether the client exists.
                let presented = SecretHash::of_text(&secret);
                let is_own = |client: &Client| matches!(&client.authentication, ClientAuthenticationMethod::Secret(secret) if *secret == presented);
                let Some(client) = client.filter(is_own) else { return Ok(None) };
                if client.authentication_requirement == AuthenticationRequirement::Optional {
                    self.registrations.require_authentication(client.id()).await?;
                }
                Ok(Some(client))
            }
            (Proof::Assertion(jwt), Some(client)) => {
                let ClientAuthenticationMethod::PrivateKeyJwt(keys) = &client.authentication else { return Ok(None) };
                self.assertions.verify(&client, keys, jwt, caller).await?;
                Ok(Some(client))
            }
            (Proof::Assertion(_), None) => Ok(None),
        }
    }

    /// Reports whether errors may redirect to `client` without an interstitial page: the operator trusts its redirect URIs.
    pub(crate) fn is_trusted(&self, client: &Client) -> bool {
        client.source == ClientSource::Configured || self.documents.is_trusted(client)
    }

    /// Reports whether the bearer token `token` permits registration.
    pub(crate) fn accepts_initial_access_token(&self, token: Option<&str>) -> bool {
        self.registrations.accepts_token(token)
    }

    /// Registers the client that `body` describes.
    ///
    /// # Errors
    /// `invalid_redirect_uri`, `invalid_client_metadata`, or `temporarily_unavailable`.
    pub(crate) async fn register(&self, body: &[u8]) -> Result<RegisteredClient, OAuthError> {
        self.registrations.register(body).await
    }

    /// Records that `client` has received tokens of `session`, which `is_new` or was refreshed: extends the client's lifetime and counts
    /// it for the user.
    pub(crate) async fn record_use(&self, client: &Client, session: &Session, is_new: bool) -> Result<(), OAuthError> {
        match client.source {
            ClientSource::Configured => {}
            ClientSource::Document => {
                if !is_new || self.shares.add(&session.user, client).await? {
                    self.documents.save(client).await?;
                }
            }
            ClientSource::Registered => {
                self.registrations.record_use(client, session, is_new).await?;
                if is_new {
                    self.shares.add(&session.user, client).await?;
                }
            }
        }
        Ok(())
    }
}
