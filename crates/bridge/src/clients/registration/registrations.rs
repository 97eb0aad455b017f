//! [`Registrations`]: the clients that have registered themselves.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{Clock, ScopeSet};
use portcullis_grants::{
    StoreError,
    records::{Collection, Record, SealedStore},
};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Method, Registered, Registration, RegistrationPolicy, RegistrationRequest, registration_key as key};
use crate::{
    clients::{Client, ClientAuthenticationMethod, Origin, metadata::Members, shares::Users},
    oauth_error::{ErrorCode, OAuthError},
    session::{SecretHash, Session, Sessions, SessionsKey},
};

/// A use is noted at most so often, or ten times in the life of a registration.
const NOTED_EVERY: Duration = Duration::from_hours(24);

/// So many registrations are forgotten at once, at most: one is too many as a rule, and more if several processes have registered some.
const MOST_AT_ONCE: usize = 100;

/// The number of registrations that are looked at to find one that can make room: those that were not used for the longest time.
const MOST_LOOKED_AT: usize = 300;

/// The clients that have registered themselves. All there is of them is in the store: one that is removed there is gone.
#[derive(Debug)]
pub(in crate::clients) struct Registrations {
    policy: RegistrationPolicy,
    scopes: ScopeSet,
    records: SealedStore,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
}

impl Registrations {
    pub(in crate::clients) fn new(
        policy: RegistrationPolicy,
        scopes: ScopeSet,
        records: SealedStore,
        sessions: Sessions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { policy, scopes, records, sessions, clock }
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
            is_used: false,
        };
        let registration = Registration { client, users: Users::default() };
        let now = self.clock.now();
        if self.records.create(key(&id), &registration, now + self.policy.unused_ttl).await?.is_none() {
            return Err(OAuthError::new(ErrorCode::ServerError, "the name of the client is not new"));
        }
        let available: Vec<_> = request.scopes.iter().filter(|scope| self.scopes.contains(scope)).collect();
        Ok(Registered { scope: available.join(" "), id, secret, issued_at: now, request })
    }

    /// Where there are too many, those are forgotten through which no user has a session, the least recently used first: they are what
    /// expires soonest, and those that were never used come before all others.
    async fn make_room(&self) -> Result<(), OAuthError> {
        let excess = (self.records.count(Collection::CLIENTS).await? + 1).saturating_sub(self.policy.max_clients);
        if excess == 0 {
            return Ok(());
        }
        let at_once = usize::try_from(excess).unwrap_or(MOST_AT_ONCE).min(MOST_AT_ONCE);
        let mut forgotten = 0;
        for (key, ..) in self.records.next_to_expire(Collection::CLIENTS, MOST_LOOKED_AT).await? {
            if forgotten == at_once {
                break;
            }
            let Some(known) = self.records.load::<Registration>(key).await? else { continue };
            if !self.is_in_use(&known).await? && self.records.remove(key, known.version).await? {
                known.value.users.end_sessions(&self.sessions).await?;
                forgotten += 1;
            }
        }
        if forgotten == 0 {
            tracing::warn!(
                max_clients = self.policy.max_clients,
                "a registration is refused: there are as many clients as there may be, and users have sessions through them"
            );
            return Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many clients are registered"));
        }
        Ok(())
    }

    /// Whether a user has a session through a client, or may have: of the users of some rows of older versions nothing is known.
    async fn is_in_use(&self, known: &Record<Registration>) -> Result<bool, StoreError> {
        let now = self.clock.now();
        if known.value.users.is_empty() {
            return Ok(Registration::is_used(known, now, self.policy.unused_ttl));
        }
        known.value.users.have_session(&self.sessions, now).await
    }

    /// The client called `id`.
    pub(in crate::clients) async fn find(&self, id: &str) -> Result<Option<Client>, StoreError> {
        let Some(known) = self.records.load::<Registration>(key(id)).await? else { return Ok(None) };
        let is_used = Registration::is_used(&known, self.clock.now(), self.policy.unused_ttl);
        Ok(Some(Client { kept_until: Some(known.expires_at), is_used, ..known.value.client }))
    }

    /// Keeps the registration of `client`, which has been given tokens of `session`, and notes whose they are: it costs a write a day,
    /// and one for each of its first users.
    pub(in crate::clients) async fn keep(
        &self,
        client: &Client,
        session: &Session,
        is_new: bool,
    ) -> Result<(), StoreError> {
        let kept_until = self.clock.now() + self.policy.idle_ttl;
        let is_due = |until| until + NOTED_EVERY.min(self.policy.idle_ttl / 10) <= kept_until;
        if !is_new && !client.kept_until.is_some_and(is_due) {
            return Ok(());
        }
        let user = SessionsKey::of(&session.user, client.id());
        // If the client is gone, there is nothing to be done.
        while let Some(known) = self.records.load::<Registration>(key(client.id())).await? {
            let mut registration = known.value;
            let is_noted = registration.users.note(user, session.ends_at);
            if !is_noted && !is_due(known.expires_at) {
                break;
            }
            let kept_until = if is_due(known.expires_at) { kept_until } else { known.expires_at };
            if self.records.replace(key(client.id()), known.version, &registration, kept_until).await?.is_some() {
                break;
            }
        }
        Ok(())
    }
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
