//! [`Clients`]: all clients of a bridge.

use std::{collections::HashMap, sync::Arc};

use http::HeaderMap;
use portcullis_core::Clock;
use portcullis_egress::Egress;
use portcullis_grants::records::SealedStore;

use super::{
    Client, ClientAuthenticationMethod, Origin,
    authentication::{ClientAssertions, Credentials, Proof},
    document::Documents,
    registration::{Registered, RegistrationPolicy, Registrations},
    shares::Shares,
};
use crate::{
    BridgeConfig,
    limits::{Caller, Limits},
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
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
}

impl Clients {
    pub(crate) fn new(
        config: &BridgeConfig,
        records: SealedStore,
        sessions: Sessions,
        egress: Egress,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let registrations = Registrations::new(
            config.registration,
            config.scopes.clone(),
            records.clone(),
            sessions.clone(),
            Arc::clone(&clock),
        );
        let RegistrationPolicy { max_clients, idle_ttl, .. } = config.registration;
        let shares = Shares::new(max_clients, idle_ttl, records.clone(), sessions, Arc::clone(&clock));
        let documents = Documents::new(
            config.documents.clone(),
            records.clone(),
            egress.clone(),
            limits.clone(),
            Arc::clone(&clock),
        );
        Self {
            configured: config.clients.iter().map(|client| (client.id.clone(), client.clone())).collect(),
            documents,
            registrations,
            shares,
            assertions: ClientAssertions::new(config.issuer.clone(), records, egress, limits, clock),
        }
    }

    /// The client called `id`, which `caller` has named: a configured one before all others; the id of one with a document is a URL, and
    /// no other one's is.
    ///
    /// # Errors
    /// `invalid_client` if there is none, `temporarily_unavailable` if nobody can tell.
    pub(crate) async fn find(&self, id: &str, caller: &Caller) -> Result<Client, OAuthError> {
        if let Some(client) = self.configured.get(id) {
            return Ok(client.clone());
        }
        if id.starts_with("https://") || id.starts_with("http://") {
            return self.documents.find(id, caller).await;
        }
        let found = self.registrations.find(id).await?;
        found.ok_or_else(|| OAuthError::new(ErrorCode::InvalidClient, "there is no such client"))
    }

    /// The client that a request tries to prove that it comes from. Nothing of it is true yet.
    ///
    /// Whoever proves nothing guesses nothing: others who do must not keep a client without a secret from its tokens.
    pub(crate) fn claimed(headers: &HeaderMap, form: &Parameters) -> Option<String> {
        let Credentials { client_id, proof, .. } = Credentials::of(headers, form).ok()?;
        match proof {
            Proof::Nothing => None,
            Proof::Secret(_) | Proof::Assertion(_) => Some(client_id),
        }
    }

    /// The client that a request of `caller` to the token endpoint comes from, which has proved who it is as it has to.
    ///
    /// # Errors
    /// `invalid_client` if it has not, `invalid_request` if it does it in two ways, `temporarily_unavailable` if nobody can tell.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        form: &Parameters,
        caller: &Caller,
    ) -> Result<Client, OAuthError> {
        let Credentials { client_id, proof, is_in_header } = Credentials::of(headers, form)?;
        let client = match self.find(&client_id, caller).await {
            Ok(client) => Some(client),
            Err(error) if error.code == ErrorCode::InvalidClient => None,
            Err(error) => return Err(error),
        };
        // A client that there is not is refused as one that has proved nothing.
        let is_proved = self.is_proved(client.as_ref(), proof, caller).await?;
        client.filter(|_| is_proved).ok_or_else(|| {
            let error = OAuthError::new(ErrorCode::InvalidClient, "the client has not proved who it is");
            if is_in_header { error.with_challenge() } else { error }
        })
    }

    async fn is_proved(&self, client: Option<&Client>, proof: Proof, caller: &Caller) -> Result<bool, OAuthError> {
        let known = client.map(|client| (client, &client.authentication));
        match (proof, known) {
            (Proof::Nothing, Some((_, ClientAuthenticationMethod::None))) => Ok(true),
            (Proof::Secret(secret), known) => {
                // It is hashed whoever it is said to be of.
                let presented = SecretHash::of_text(&secret);
                Ok(matches!(known, Some((_, ClientAuthenticationMethod::Secret(expected))) if *expected == presented))
            }
            (Proof::Assertion(jwt), Some((client, ClientAuthenticationMethod::PrivateKeyJwt(keys)))) => {
                self.assertions.accept(client, keys, jwt, caller).await
            }
            _ => Ok(false),
        }
    }

    /// Whether `client` may be sent errors without a page in between: the operator vouches for where they go.
    pub(crate) fn is_trusted(&self, client: &Client) -> bool {
        client.origin == Origin::Configured || self.documents.trusts(client)
    }

    /// Whether whoever presents the bearer `token`, or none, may register clients.
    pub(crate) fn may_register(&self, token: Option<&str>) -> bool {
        self.registrations.admits(token)
    }

    /// Registers what `body` describes.
    ///
    /// # Errors
    /// `invalid_redirect_uri`, `invalid_client_metadata`, or `temporarily_unavailable`.
    pub(crate) async fn register(&self, body: &[u8]) -> Result<Registered, OAuthError> {
        self.registrations.register(body).await
    }

    /// A client has been given tokens of `session`, which `is_new` or was refreshed: what is known of the client is kept, and it counts
    /// as one of those of the user.
    pub(crate) async fn used(&self, client: &Client, session: &Session, is_new: bool) -> Result<(), OAuthError> {
        match client.origin {
            Origin::Configured => {}
            Origin::Document => {
                if !is_new || self.shares.count(&session.user, client).await? {
                    self.documents.keep(client).await?;
                }
            }
            Origin::Registered => {
                self.registrations.keep(client, session, is_new).await?;
                if is_new {
                    self.shares.count(&session.user, client).await?;
                }
            }
        }
        Ok(())
    }
}
