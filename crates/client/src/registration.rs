//! [`Clients`]: which client this application is at an authorization server: configured, described by a document, or registered.

use std::error::Error as _;

use bytes::Bytes;
use portcullis_core::{AuthError, Issuer, Reason, UnixTime};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ClientAuthentication,
    metadata::AuthorizationServerMetadata,
    registration::{self, ClientDocumentUrl, ClientMetadata, RegistrationError, RegistrationResponse},
};
use portcullis_store::{RecordKey, SealedStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tower::ServiceExt as _;

use crate::{ClientCredential, GrantError, collections::REGISTRATIONS};

/// Why this application is no client of an authorization server.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoClientError {
    /// Clients are configured, and none of them for this issuer. Credentials of one authorization server are never sent to another one.
    #[error(
        "the authorization server is {issuer:?}, and the configured clients are registered at {configured:?}: register the client there"
    )]
    OtherIssuer {
        /// The authorization server that the resource names.
        issuer: String,
        /// The authorization servers of the configured clients.
        configured: Vec<String>,
    },
    /// The server neither registers clients nor accepts the URL of a document.
    #[error(
        "{issuer:?} registers no clients and accepts no client metadata document of this application: register the client there and configure its id"
    )]
    NoRegistration {
        /// The authorization server.
        issuer: String,
    },
    /// The server refuses the registration, in many cases because of the redirect URI.
    #[error("{issuer:?} refuses to register a client with the redirect URIs {redirect_uris:?}: {error}")]
    Refused {
        /// The authorization server.
        issuer: String,
        /// The redirect URIs of the request.
        redirect_uris: Vec<String>,
        /// The error of the server.
        error: String,
    },
    /// The registered client is not known any more: the authorization server has rejected it, or the store has lost it.
    #[error("the client {client_id:?} is not registered at {issuer:?} any more")]
    Gone {
        /// The authorization server.
        issuer: String,
        /// The client id.
        client_id: String,
    },
}

impl NoClientError {
    /// Reports whether `error` is about a registered client that is not known any more.
    pub(crate) fn is_gone(error: &GrantError) -> bool {
        let own = error.cause().source().and_then(|source| source.downcast_ref());
        matches!(own, Some(Self::Gone { .. }))
    }
}

impl From<NoClientError> for GrantError {
    fn from(error: NoClientError) -> Self {
        match error {
            // The next login registers another client, or uses one that is configured now.
            NoClientError::Gone { .. } => Self::refused(error),
            _ => Self::misconfigured(AuthError::new(Reason::ClientRefused).with_source(error)),
        }
    }
}

/// This application as a client of one authorization server.
#[derive(Clone, Debug)]
pub(crate) struct KnownClient {
    pub(crate) authentication: ClientCredential,
    /// The redirect URIs that were registered; empty if they are not known here.
    pub(crate) redirect_uris: Vec<String>,
}

/// The clients that this application is, by issuer: those of one issuer are never used at another one.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) metadata: ClientMetadata,
    /// The redirect URI, without a port that is chosen for each login.
    pub(crate) redirect_uri: Box<str>,
    pub(crate) configured: Vec<(Issuer, ClientAuthentication)>,
    /// The URL of the document that describes the client, and how the client authenticates itself.
    pub(crate) document: Option<(ClientDocumentUrl, ClientCredential)>,
    pub(crate) store: SealedStore,
    pub(crate) egress: Egress,
}

impl Clients {
    /// Returns the client `client_id` at `issuer`, without a request.
    pub(crate) async fn known(&self, issuer: &Issuer, client_id: &str) -> Result<KnownClient, GrantError> {
        let configured = self.configured.iter().find(|(own, client)| own == issuer && client.client_id() == client_id);
        if let Some((_, authentication)) = configured {
            return Ok(KnownClient { authentication: authentication.clone().into(), redirect_uris: Vec::new() });
        }
        if let Some((_, authentication)) = self.document.as_ref().filter(|(url, _)| url.as_str() == client_id) {
            return Ok(KnownClient { authentication: authentication.clone(), redirect_uris: Vec::new() });
        }
        let registered = self.registered(issuer).await?.filter(|client| client.client_id == client_id);
        let gone = || NoClientError::Gone { issuer: issuer.to_string(), client_id: client_id.to_owned() };
        Ok(registered.ok_or_else(gone)?.into_client())
    }

    /// Returns the configured issuers.
    pub(crate) fn configured_issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.configured.iter().map(|(issuer, _)| issuer)
    }

    /// Returns the configured client at `issuer`.
    pub(crate) fn configured_at(&self, issuer: &Issuer) -> Option<&ClientAuthentication> {
        self.configured.iter().find(|(own, _)| own == issuer).map(|(_, client)| client)
    }

    /// Returns the id of the client at the issuer of `server`: of a configured one, else the URL of the document if the server accepts it,
    /// else of a registered one. If there is none, registers one with `redirect_uri`.
    ///
    /// MCP, Client Registration Approaches.
    pub(crate) async fn identify(
        &self,
        server: &AuthorizationServerMetadata,
        redirect_uri: impl AsyncFnOnce() -> Result<String, GrantError>,
    ) -> Result<String, GrantError> {
        let issuer = server.issuer();
        if let Some(client) = self.configured_at(issuer) {
            return Ok(client.client_id().to_owned());
        }
        match &self.document {
            Some((url, _)) if server.accepts_client_documents() => return Ok(url.as_str().to_owned()),
            Some(_) => {}
            None if !self.configured.is_empty() => {
                let configured = self.configured_issuers().map(ToString::to_string).collect();
                return Err(NoClientError::OtherIssuer { issuer: issuer.to_string(), configured }.into());
            }
            None => {}
        }
        if let Some(client) = self.registered(issuer).await? {
            return Ok(client.client_id);
        }
        if server.registration_endpoint().is_none() {
            return Err(NoClientError::NoRegistration { issuer: issuer.to_string() }.into());
        }
        self.register(server, redirect_uri().await?).await
    }

    async fn register(&self, server: &AuthorizationServerMetadata, redirect_uri: String) -> Result<String, GrantError> {
        let (issuer, methods) = (server.issuer(), server.client_authentication_methods());
        let endpoint = server.registration_endpoint();
        let endpoint = endpoint.ok_or_else(|| NoClientError::NoRegistration { issuer: issuer.to_string() })?;
        let method = preferred_method(methods);
        let metadata = self.metadata.clone().with_redirect_uri(&redirect_uri);
        let mut request = metadata.registration_request(endpoint, method);
        request.extensions_mut().insert(RequestKind::new("registration"));
        let response = self.egress.clone().oneshot(request).await;
        let response = response.map_err(|error| GrantError::not_sent(error.into()))?;
        let client = registered_client(issuer, &metadata, &response)?;
        let expires_at = client.client_secret_expires_at.unwrap_or(UnixTime::MAX);
        let client = Registration::new(client, method, methods, redirect_uri);
        let key = self.key(issuer);
        if self.store.create(key, &client, expires_at).await.map_err(unreadable)?.is_some() {
            tracing::info!(%issuer, client_id = client.client_id, "registered a client");
            return Ok(client.client_id);
        }
        // Another process was faster.
        let gone = || NoClientError::Gone { issuer: issuer.to_string(), client_id: client.client_id.clone() };
        Ok(self.registered(issuer).await?.ok_or_else(gone)?.client_id)
    }

    /// Removes the registered client `client_id` at `issuer`, which the authorization server does not know any more. Reports whether it was
    /// there.
    pub(crate) async fn forget(&self, issuer: &Issuer, client_id: &str) -> Result<bool, GrantError> {
        let key = self.key(issuer);
        match self.store.load::<Registration>(key).await.map_err(unreadable)? {
            Some(record) if record.value.client_id == client_id => {
                tracing::warn!(%issuer, client_id, "the authorization server does not know the registered client any more");
                self.store.remove(key, record.version).await.map_err(unreadable)
            }
            _ => Ok(false),
        }
    }

    async fn registered(&self, issuer: &Issuer) -> Result<Option<Registration>, GrantError> {
        let record = self.store.load::<Registration>(self.key(issuer)).await.map_err(unreadable)?;
        Ok(record.map(|record| record.value))
    }

    /// Returns where the registration at `issuer` is kept. Another redirect URI is another registration: the authorization server redirects
    /// to none that was not registered.
    fn key(&self, issuer: &Issuer) -> RecordKey {
        let parts = [issuer.as_str(), self.metadata.name(), &*self.redirect_uri];
        RecordKey::of(REGISTRATIONS, &parts.map(str::as_bytes))
    }
}

/// Returns the error of a store that cannot be read or written: nothing was sent.
pub(crate) fn unreadable(error: portcullis_store::StoreError) -> GrantError {
    GrantError::not_sent(error.into())
}

fn registered_client(
    issuer: &Issuer,
    metadata: &ClientMetadata,
    response: &http::Response<Bytes>,
) -> Result<RegistrationResponse, GrantError> {
    registration::process(response).map_err(|error| match error {
        RegistrationError::Protocol(error) if error.reason() != Reason::ClientRefused => {
            GrantError::transient(error.into())
        }
        error => {
            let redirect_uris = metadata.redirect_uris().iter().map(|uri| uri.to_string()).collect();
            NoClientError::Refused { issuer: issuer.to_string(), redirect_uris, error: error.to_string() }.into()
        }
    })
}

/// Returns the client authentication method to register with. An application on the user's machine keeps no secret from the user, so that
/// none is the first choice; then the one that the server lists first. Servers list methods that they accept with conditions only: those of
/// the Python SDK do not find the client of `client_secret_basic` unless the form names it as well.
fn preferred_method(supported: &[Box<str>]) -> &'static str {
    const KNOWN: [&str; 3] = ["none", "client_secret_basic", "client_secret_post"];
    let listed = || supported.iter().filter_map(|name| KNOWN.into_iter().find(|known| **name == **known));
    listed().find(|method| *method == "none").or_else(|| listed().next()).unwrap_or("none")
}

/// A registered client, as it is stored. The names are part of the database format.
#[derive(Serialize, Deserialize)]
struct Registration {
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<Secret>,
    method: Method,
    redirect_uris: Vec<String>,
}

/// How a registered client is authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    None,
    ClientSecretBasic,
    ClientSecretPost,
}

/// A secret that is sealed as soon as it is serialized.
struct Secret(SecretString);

impl Registration {
    fn new(response: RegistrationResponse, asked: &str, supported: &[Box<str>], redirect_uri: String) -> Self {
        let is_supported = |method: &str| supported.iter().any(|name| **name == *method);
        let stated = response.client_authentication_method.as_deref();
        // A response that states no method has that of the request, unless it has a secret that was not asked for.
        let method = match (stated.unwrap_or(asked), &response.client_secret) {
            (_, None) => Method::None,
            ("none", Some(_)) if stated.is_some() || is_supported("none") => Method::None,
            ("client_secret_post", Some(_)) => Method::ClientSecretPost,
            (_, Some(_)) if is_supported("client_secret_post") && !is_supported("client_secret_basic") => {
                Method::ClientSecretPost
            }
            (_, Some(_)) => Method::ClientSecretBasic,
        };
        Self {
            client_id: response.client_id,
            client_secret: response.client_secret.map(Secret),
            method,
            redirect_uris: vec![redirect_uri],
        }
    }

    fn into_client(self) -> KnownClient {
        let id = &self.client_id;
        let authentication = match (self.method, self.client_secret) {
            (Method::ClientSecretBasic, Some(secret)) => ClientAuthentication::basic(id, secret.0),
            (Method::ClientSecretPost, Some(secret)) => ClientAuthentication::post(id, secret.0),
            _ => ClientAuthentication::public(id),
        };
        KnownClient { authentication: authentication.into(), redirect_uris: self.redirect_uris }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.expose_secret().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}
