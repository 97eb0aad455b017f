//! [`Registrations`]: the clients that have registered themselves.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{Clock, ScopeSet};
use portcullis_grants::{
    StoreError,
    records::{RecordKey, Records, Table},
};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Method, Registered, RegistrationPolicy, RegistrationRequest};
use crate::{
    clients::{Client, ClientAuthenticationMethod, Origin, metadata::Members},
    oauth_error::{ErrorCode, OAuthError},
    session::SecretHash,
};

/// A use is noted at most so often, or ten times in the life of a registration.
const NOTED_EVERY: Duration = Duration::from_hours(24);

/// So many registrations are forgotten at once, at most: one is too many as a rule, and more if several processes have registered some.
const MOST_AT_ONCE: usize = 100;

/// The clients that have registered themselves. All there is of them is in the store: one that is removed there is gone.
#[derive(Debug)]
pub(in crate::clients) struct Registrations {
    policy: RegistrationPolicy,
    scopes: ScopeSet,
    records: Records,
    clock: Arc<dyn Clock>,
}

impl Registrations {
    pub(in crate::clients) fn new(
        policy: RegistrationPolicy,
        scopes: ScopeSet,
        records: Records,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { policy, scopes, records, clock }
    }

    /// Whether whoever presents `token` may register.
    pub(in crate::clients) fn admits(&self, token: Option<&str>) -> bool {
        let presented = |token: &str| SecretHash::of_text(&token.into());
        self.policy.initial_access_token.is_none_or(|expected| token.map(presented) == Some(expected))
    }

    /// Registers what `body` describes, under a name of our choice.
    ///
    /// The scopes that a client asks for bind nobody: it could register again with others. It is told which of them there are.
    ///
    /// # Errors
    /// `invalid_redirect_uri` or `invalid_client_metadata`, with the member; `temporarily_unavailable` if there are too many
    /// clients that are in use.
    pub(in crate::clients) async fn register(&self, body: &[u8]) -> Result<Registered, OAuthError> {
        let members = Members::parse(body);
        let members = members.map_err(|_| {
            OAuthError::new(
                ErrorCode::InvalidClientMetadata,
                "the body is not the JSON of one object without repetitions",
            )
        })?;
        let request = RegistrationRequest::read(&members)?;
        self.make_room().await?;
        let id: Box<str> = format!("client_{}", *random::<16>()).into();
        let (authentication, secret) = authentication(&request.method);
        let client = Client {
            id: id.clone(),
            name: request.name.clone(),
            uri: request.uri.clone(),
            redirect_uris: request.redirect_uris.clone(),
            grant_types: request.grant_types.clone(),
            authentication,
            origin: Origin::Registered,
            scopes: None,
            kept_until: None,
        };
        let now = self.clock.now();
        if self.records.create(key(&id), &client, now + self.policy.unused_ttl).await?.is_none() {
            return Err(OAuthError::new(ErrorCode::ServerError, "the name of the client is not new"));
        }
        let available: Vec<_> = request.scopes.iter().filter(|scope| self.scopes.contains(scope)).collect();
        Ok(Registered { scope: available.join(" "), id, secret, issued_at: now, request })
    }

    /// Where there are too many, those are forgotten that were never used, the oldest first: they are what expires soonest. Clients
    /// with users are not.
    async fn make_room(&self) -> Result<(), OAuthError> {
        let excess = (self.records.count(Table::Clients).await? + 1).saturating_sub(self.policy.max_clients);
        if excess == 0 {
            return Ok(());
        }
        let unused_until = self.clock.now() + self.policy.unused_ttl;
        let at_once = usize::try_from(excess).unwrap_or(MOST_AT_ONCE).min(MOST_AT_ONCE);
        let soonest = self.records.soonest(Table::Clients, at_once).await?;
        let unused: Vec<_> = soonest.into_iter().filter(|(.., expires_at)| *expires_at <= unused_until).collect();
        if unused.is_empty() {
            tracing::warn!("a client is turned away: there are too many registrations, and all are in use");
            return Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many clients are registered"));
        }
        for (key, version, _) in unused {
            self.records.remove(key, version).await?;
        }
        Ok(())
    }

    /// The client called `id`.
    pub(in crate::clients) async fn find(&self, id: &str) -> Result<Option<Client>, StoreError> {
        let known = self.records.load::<Client>(key(id)).await?;
        Ok(known.map(|known| Client { kept_until: Some(known.expires_at), ..known.value }))
    }

    /// Keeps the registration of `client`, who has been given tokens: it costs a write a day.
    pub(in crate::clients) async fn keep(&self, client: &Client) -> Result<(), StoreError> {
        let kept_until = self.clock.now() + self.policy.idle_ttl;
        let is_due = |until| until + NOTED_EVERY.min(self.policy.idle_ttl / 10) <= kept_until;
        if !client.kept_until.is_some_and(is_due) {
            return Ok(());
        }
        // If another request is faster, or the client is gone, there is nothing to be done.
        if let Some(known) = self.records.load::<Client>(key(client.id())).await? {
            self.records.replace(key(client.id()), known.version, &known.value, kept_until).await?;
        }
        Ok(())
    }
}

fn key(id: &str) -> RecordKey {
    RecordKey::of(Table::Clients, &[b"registered", id.as_bytes()])
}

fn authentication(method: &Method) -> (ClientAuthenticationMethod, Option<SecretString>) {
    match method {
        Method::None => (ClientAuthenticationMethod::None, None),
        Method::PrivateKeyJwt(keys) => (ClientAuthenticationMethod::PrivateKeyJwt(keys.clone()), None),
        Method::SecretBasic | Method::SecretPost => {
            // As codes and tokens: the first letters tell what was found when one was published.
            let secret = SecretString::from(format!("pccs_{}", *random::<32>()));
            (ClientAuthenticationMethod::Secret(SecretHash::of_text(&secret)), Some(secret))
        }
    }
}

fn random<const N: usize>() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}
