//! [`Registrations`]: the clients that have registered, with their [`ClientUsers`].

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{Clock, ScopeSet, UnixTime};
use portcullis_store::{Record, RecordKey, SealedStore, StoreError};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Client, ClientAuthenticationMethod, ClientSource, GrantType,
    client::AuthenticationRequirement,
    metadata::{ClientMetadata, InvalidMetadata, for_log},
    registration::{Ignored, Method, RegisteredClient, RegistrationPolicy, RegistrationRequest},
};
use crate::{
    BridgeConfig, collections,
    response::{ErrorCode, OAuthError},
    session::{SecretHash, Session, Sessions, SessionsKey},
};

/// The minimum time between two extensions of a registration. Shorter lifetimes are extended ten times at most.
const EXTENSION_INTERVAL: Duration = Duration::from_hours(24);

/// The maximum number of registrations that one request removes. Usually it removes one, and more after concurrent registrations.
const MAX_REMOVED: usize = 100;

/// The maximum number of registrations that are examined to find one to remove, the least recently used first.
const MAX_EXAMINED: usize = 300;

/// The store of registered clients. Nothing is cached: a client that is removed from the store is unknown immediately.
#[derive(Debug)]
pub(super) struct Registrations {
    policy: RegistrationPolicy,
    scopes: ScopeSet,
    /// Hosts that redirect URIs may have with `http`.
    http_hosts: Vec<Box<str>>,
    records: SealedStore,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
}

/// The row of a registered client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Registration {
    #[serde(flatten)]
    pub(super) client: Client,
    /// The users who have received tokens through it.
    #[serde(default, skip_serializing_if = "ClientUsers::is_empty")]
    pub(super) users: ClientUsers,
}

impl Registration {
    /// Returns the key of the registration of the client `id`.
    pub(super) fn key(id: &str) -> RecordKey {
        RecordKey::of(collections::CLIENTS, &[b"registered", id.as_bytes()])
    }

    /// Reports whether users have received tokens through the client. Rows of older versions do not list users, so the row's expiry
    /// tells whether it was extended.
    fn is_used(opened: &Record<Self>, now: UnixTime, unused_ttl: Duration) -> bool {
        !opened.value.users.is_empty() || opened.expires_at > now + unused_ttl
    }
}

impl Registrations {
    pub(super) fn new(config: &BridgeConfig, records: SealedStore, sessions: Sessions, clock: Arc<dyn Clock>) -> Self {
        let (policy, scopes, http_hosts) =
            (config.registration, config.scopes.clone(), config.http_redirect_hosts.clone());
        Self { policy, scopes, http_hosts, records, sessions, clock }
    }

    /// Reports whether `token` is the initial access token, if one is required.
    pub(super) fn accepts_token(&self, token: Option<&str>) -> bool {
        let presented = |token: &str| SecretHash::of_text(&token.into());
        self.policy.initial_access_token.is_none_or(|expected| token.map(presented) == Some(expected))
    }

    /// Registers the client that `body` describes, and generates its id.
    ///
    /// The requested scopes are not enforced, because the client could register again with others. The response names the supported ones.
    ///
    /// # Errors
    /// `invalid_redirect_uri` or `invalid_client_metadata`; `temporarily_unavailable` at the maximum number of clients in use.
    pub(super) async fn register(&self, body: &[u8]) -> Result<RegisteredClient, OAuthError> {
        let members = ClientMetadata::parse(body);
        let members = members.map_err(|error| {
            OAuthError::new(ErrorCode::InvalidClientMetadata, "body is not a JSON object with unique members")
                .with_found(&error.to_string(), "a JSON object with unique members")
        })?;
        let request = RegistrationRequest::read(&members, &self.http_hosts)?;
        self.make_room().await?;
        let id: Box<str> = format!("client_{}", *random::<16>()).into();
        log_ignored(&id, &request.ignored);
        let (authentication, authentication_requirement, secret) = authentication(&request.method);
        let client = Client {
            id: id.clone(),
            name: request.name.clone(),
            uri: request.uri.clone(),
            redirect_uris: request.redirect_uris.clone(),
            grant_types: GrantType::REGISTERED.to_vec(),
            authentication,
            authentication_requirement,
            source: ClientSource::Registered,
            scopes: None,
            kept_until: None,
            is_used: false,
        };
        let registration = Registration { client, users: ClientUsers::default() };
        let now = self.clock.now();
        if self.records.create(Registration::key(&id), &registration, now + self.policy.unused_ttl).await?.is_none() {
            return Err(OAuthError::new(ErrorCode::ServerError, "client id collision"));
        }
        let (client_id, name, redirect_uri) =
            (&*id, request.name.as_deref(), for_log(request.redirect_uris[0].as_str()));
        tracing::info!(client_id, name, redirect_uri, "client registered");
        let available: Vec<_> = request.scopes.iter().filter(|scope| self.scopes.contains(scope)).collect();
        Ok(RegisteredClient { scope: available.join(" "), id, secret, issued_at: now, request })
    }

    /// Removes the least recently used clients without a session if there are too many. They expire first, and unused clients expire
    /// before all others.
    async fn make_room(&self) -> Result<(), OAuthError> {
        let excess = (self.records.count(collections::CLIENTS).await? + 1).saturating_sub(self.policy.max_clients);
        if excess == 0 {
            return Ok(());
        }
        let max = usize::try_from(excess).unwrap_or(MAX_REMOVED).min(MAX_REMOVED);
        let mut removed = 0;
        for (key, ..) in self.records.next_to_expire(collections::CLIENTS, MAX_EXAMINED).await? {
            if removed == max {
                break;
            }
            let Some(known) = self.records.load::<Registration>(key).await? else { continue };
            if !self.is_in_use(&known).await? && self.records.remove(key, known.version).await? {
                known.value.users.end_sessions(&self.sessions).await?;
                removed += 1;
            }
        }
        if removed == 0 {
            let max_clients = self.policy.max_clients;
            tracing::warn!(max_clients, "maximum number of registered clients reached, all in use");
            let expected = format!("fewer than {max_clients} clients in use");
            return Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many registered clients")
                .with_found("all clients have users", &expected));
        }
        Ok(())
    }

    /// Reports whether a user has a session through a client. Without a list of users, as in rows of older versions, any use counts.
    async fn is_in_use(&self, known: &Record<Registration>) -> Result<bool, StoreError> {
        let now = self.clock.now();
        if known.value.users.is_empty() {
            return Ok(Registration::is_used(known, now, self.policy.unused_ttl));
        }
        known.value.users.have_session(&self.sessions, now).await
    }

    /// Returns the client `id`.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Client>, StoreError> {
        let Some(known) = self.records.load::<Registration>(Registration::key(id)).await? else { return Ok(None) };
        let is_used = Registration::is_used(&known, self.clock.now(), self.policy.unused_ttl);
        // Older versions stored the grant types of the request.
        let grant_types = GrantType::REGISTERED.to_vec();
        Ok(Some(Client { kept_until: Some(known.expires_at), is_used, grant_types, ..known.value.client }))
    }

    /// Requires authentication from the client `id`, which has used its secret for the first time.
    pub(super) async fn require_authentication(&self, id: &str) -> Result<(), StoreError> {
        let key = Registration::key(id);
        // A client that was removed meanwhile needs no change.
        while let Some(known) = self.records.load::<Registration>(key).await? {
            let mut registration = known.value;
            let before = std::mem::take(&mut registration.client.authentication_requirement);
            if before == AuthenticationRequirement::Required
                || self.records.replace(key, known.version, &registration, known.expires_at).await?.is_some()
            {
                break;
            }
        }
        Ok(())
    }

    /// Extends the registration of `client`, which has received tokens of `session`, and adds the session's user: one write per day,
    /// and one for each of the first users.
    pub(super) async fn record_use(&self, client: &Client, session: &Session, is_new: bool) -> Result<(), StoreError> {
        let kept_until = self.clock.now() + self.policy.idle_ttl;
        let is_due = |until| until + EXTENSION_INTERVAL.min(self.policy.idle_ttl / 10) <= kept_until;
        if !is_new && !client.kept_until.is_some_and(is_due) {
            return Ok(());
        }
        let user = SessionsKey::of(&session.user, client.id());
        // A client that was removed meanwhile needs no extension.
        while let Some(known) = self.records.load::<Registration>(Registration::key(client.id())).await? {
            let mut registration = known.value;
            let is_noted = registration.users.add(user, session.ends_at);
            if !is_noted && !is_due(known.expires_at) {
                break;
            }
            let kept_until = if is_due(known.expires_at) { kept_until } else { known.expires_at };
            if self
                .records
                .replace(Registration::key(client.id()), known.version, &registration, kept_until)
                .await?
                .is_some()
            {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the authentication method, whether it is required, and a new secret if the method needs one.
fn authentication(method: &Method) -> (ClientAuthenticationMethod, AuthenticationRequirement, Option<SecretString>) {
    let requirement = match method {
        Method::Unnamed => AuthenticationRequirement::Optional,
        _ => AuthenticationRequirement::Required,
    };
    match method {
        Method::None => (ClientAuthenticationMethod::None, requirement, None),
        Method::PrivateKeyJwt(keys) => (ClientAuthenticationMethod::PrivateKeyJwt(keys.clone()), requirement, None),
        Method::Unnamed | Method::SecretBasic | Method::SecretPost => {
            // The prefix lets secret scanners find it, as for codes and tokens.
            let secret = SecretString::from(format!("pccs_{}", *random::<32>()));
            (ClientAuthenticationMethod::Secret(SecretHash::of_text(&secret)), requirement, Some(secret))
        }
    }
}

/// Logs once what the registration of the client `id` leaves out.
fn log_ignored(id: &str, ignored: &Ignored) {
    if let Some(InvalidMetadata { found, why, key, .. }) = ignored.redirect_uris.first() {
        let (number, found) = (ignored.redirect_uris.len(), found.as_deref());
        tracing::info!(client_id = id, number, found, expected = why, key, "redirect URIs of a registration ignored");
    }
    if !ignored.members.is_empty() {
        tracing::info!(client_id = id, members = ?ignored.members, "unusable members of a registration ignored");
    }
}

fn random<const N: usize>() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}

/// The maximum number of listed users. Beyond it, only the end of their sessions is stored.
const MAX_LISTED: usize = 8;

/// The minimum time between two updates of [`ClientUsers::others_until`].
const UPDATE_INTERVAL: Duration = Duration::from_hours(24);

/// The users of a registered client, as a part of its row. Rows of older versions have none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ClientUsers {
    listed: Vec<UserOfClient>,
    /// The latest end of a session of users who are not listed, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    others_until: Option<u64>,
}

/// A user of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UserOfClient {
    /// The key of the list of the user's sessions through the client.
    sessions: SessionsKey,
    /// Whether the client was released from this user, who had too many clients.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_over: bool,
}

impl ClientUsers {
    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.others_until.is_none()
    }

    /// Adds a user with a session that ends at `until` at the latest. Returns whether anything changed.
    pub(super) fn add(&mut self, user: SessionsKey, until: UnixTime) -> bool {
        if let Some(known) = self.listed.iter_mut().find(|known| known.sessions == user) {
            return std::mem::take(&mut known.is_over);
        }
        if self.listed.len() < MAX_LISTED {
            self.listed.push(UserOfClient { sessions: user, is_over: false });
            return true;
        }
        let is_new = self.others_until.is_none_or(|noted| UnixTime::from_secs(noted) + UPDATE_INTERVAL <= until);
        if is_new {
            self.others_until = Some(until.as_secs());
        }
        is_new
    }

    /// Notes that the client was released from a user.
    pub(super) fn release(&mut self, user: SessionsKey) {
        for known in self.listed.iter_mut().filter(|known| known.sessions == user) {
            known.is_over = true;
        }
    }

    /// Reports whether any user has a session through the client.
    pub(super) async fn have_session(&self, sessions: &Sessions, now: UnixTime) -> Result<bool, StoreError> {
        let all = self.listed.iter().map(|known| known.sessions);
        Ok(self.may_have_others(now) || any_alive(sessions, all).await?)
    }

    /// Reports whether a user other than `user` has a session through the client that counts for that user.
    pub(super) async fn others_have_session(
        &self,
        user: SessionsKey,
        sessions: &Sessions,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let others = self.listed.iter().filter(|known| known.sessions != user && !known.is_over);
        Ok(self.may_have_others(now) || any_alive(sessions, others.map(|known| known.sessions)).await?)
    }

    /// Ends all sessions of the listed users through the client.
    pub(super) async fn end_sessions(&self, sessions: &Sessions) -> Result<(), StoreError> {
        for user in &self.listed {
            sessions.end_all_of(user.sessions).await?;
        }
        Ok(())
    }

    fn may_have_others(&self, now: UnixTime) -> bool {
        self.others_until.is_some_and(|until| now < UnixTime::from_secs(until))
    }
}

async fn any_alive(sessions: &Sessions, users: impl Iterator<Item = SessionsKey>) -> Result<bool, StoreError> {
    for user in users {
        if sessions.has_any_of(user).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clients::RedirectUri;

    #[test]
    fn rows_are_compatible_with_older_versions_in_both_directions() {
        let uri = RedirectUri::new("https://app.example.com/cb").expect("a redirect URI");
        let client = Client::public("client_1", "App", vec![uri]);
        let older = serde_json::to_value(&client).expect("plain data");
        let registration: Registration = serde_json::from_value(older.clone()).expect("a row");
        assert!(registration.users.is_empty());
        assert_eq!(serde_json::to_value(&registration).expect("plain data"), older, "serialized as before");

        let users = json!({"listed": [{"sessions": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}], "others_until": 7});
        let mut newer = older;
        newer["users"] = users.clone();
        let registration: Registration = serde_json::from_value(newer.clone()).expect("a row");
        assert_eq!(serde_json::to_value(&registration.users).expect("plain data"), users);
        let there: Client = serde_json::from_value(newer).expect("unknown members are ignored");
        assert_eq!(there.id(), "client_1");
    }
}
