//! [`Consents`]: what was allowed to which client, in which browser, by whom.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use portcullis_core::{Clock, Issuer, ResourceUri, ScopeSet, UnixTime};
use portcullis_grants::{
    StoreError,
    records::{Collection, RecordKey, SealedStore},
};
use serde::{Deserialize, Serialize};

use super::AuthorizationRequest;
use crate::{
    BridgeConfig, Client, RedirectUri,
    session::{SecretHash, SessionUser, base64_bytes},
};

/// What was allowed to which client, in which browser, by whom: then the consent page is not shown again, for a while.
///
/// MCP Security Best Practices, Confused Deputy: the provider knows the bridge, not its clients, and a user who is logged in there
/// sees no page; so nobody is sent there for a client that was not allowed. Who the user is shows only afterwards, and is compared
/// then.
///
/// It is remembered for `https` redirect URIs alone. Any program of the user's machine can listen on loopback or take the scheme of
/// an app and pass for the client, so there the user is asked every time
/// ([RFC 8252 section 8.6](https://www.rfc-editor.org/rfc/rfc8252#section-8.6)).
#[derive(Debug)]
pub(crate) struct Consents {
    records: SealedStore,
    clock: Arc<dyn Clock>,
    ttl: Duration,
}

/// What was allowed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Consent {
    client: ClientFingerprint,
    redirect_uri: RedirectUri,
    resource: ResourceUri,
    scopes: ScopeSet,
    pub(crate) user: UserIdentity,
}

/// By whom something was allowed: the stable name of a user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserIdentity {
    issuer: Issuer,
    subject: Box<str>,
}

impl UserIdentity {
    pub(crate) fn of(user: &SessionUser) -> Self {
        Self { issuer: user.issuer.clone(), subject: user.subject.clone() }
    }
}

/// The number of consents of one user that are remembered.
const MOST_OF_ONE_USER: usize = 100;

/// Where the consents of one user are, the oldest first. Some may be gone.
#[derive(Clone, Default, Serialize, Deserialize)]
struct ConsentsOfUser(Vec<ConsentKey>);

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct ConsentKey(#[serde(with = "base64_bytes")] [u8; 32]);

/// What a user was shown of a client, and where it may send codes: if that changes, the user is asked again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ClientFingerprint([u8; 32]);

impl ClientFingerprint {
    pub(crate) fn of(client: &Client) -> Self {
        let shown = (&client.name, &client.uri, &client.redirect_uris, client.source);
        let shown = serde_json::to_vec(&shown).expect("a client is plain data");
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, &shown).as_ref());
        Self(bytes)
    }
}

impl Consent {
    /// Whether it is for everything that `client` asks for now.
    fn covers(&self, client: &Client, request: &AuthorizationRequest) -> bool {
        self.client == ClientFingerprint::of(client)
            && self.redirect_uri == request.target.redirect_uri
            && self.resource == request.resource
            && self.scopes.is_superset(&request.scopes)
    }
}

impl Consents {
    pub(crate) fn new(config: &BridgeConfig, records: SealedStore, clock: Arc<dyn Clock>) -> Self {
        Self { records, clock, ttl: config.consent_ttl }
    }

    /// What was allowed in `browser`, if it covers what `client` asks for.
    pub(crate) async fn find(
        &self,
        browser: SecretHash,
        client: &Client,
        request: &AuthorizationRequest,
    ) -> Result<Option<Consent>, StoreError> {
        if !self.remembers(request) {
            return Ok(None);
        }
        let opened = self.records.load::<Consent>(key(browser, &request.client_id)).await?;
        Ok(opened.map(|opened| opened.value).filter(|consent| consent.covers(client, request)))
    }

    /// Remembers that `user` has allowed it.
    pub(crate) async fn remember(
        &self,
        browser: SecretHash,
        client: ClientFingerprint,
        request: &AuthorizationRequest,
        user: UserIdentity,
    ) -> Result<(), StoreError> {
        if !self.remembers(request) {
            return Ok(());
        }
        let key = key(browser, &request.client_id);
        let consent = Consent {
            client,
            redirect_uri: request.target.redirect_uri.clone(),
            resource: request.resource.clone(),
            scopes: request.scopes.clone(),
            user,
        };
        let expires_at = self.clock.now() + self.ttl;
        // If two are written at the same time, both users have consented just now: either will do.
        match self.records.load::<Consent>(key).await? {
            Some(known) => self.records.replace(key, known.version, &consent, expires_at).await?,
            None => self.records.create(key, &consent, expires_at).await?,
        };
        self.list(&consent.user, key, expires_at).await
    }

    /// Puts the consent at `key` on the list of those of `user`. If there are too many, the oldest ones are forgotten.
    async fn list(&self, user: &UserIdentity, key: RecordKey, expires_at: UnixTime) -> Result<(), StoreError> {
        let (list, new) = (list_key(user), ConsentKey(*key.as_bytes()));
        loop {
            let found = self.records.load::<ConsentsOfUser>(list).await?;
            let (version, mut listed) =
                found.map_or_else(|| (None, ConsentsOfUser::default()), |found| (Some(found.version), found.value));
            listed.0.retain(|known| *known != new);
            listed.0.push(new);
            let excess = listed.0.len().saturating_sub(MOST_OF_ONE_USER);
            for ConsentKey(oldest) in listed.0.drain(..excess) {
                self.forget(user, RecordKey::new(Collection::CONSENTS, oldest)).await?;
            }
            let written = match version {
                None => self.records.create(list, &listed, expires_at).await?,
                Some(version) => self.records.replace(list, version, &listed, expires_at).await?,
            };
            if written.is_some() {
                return Ok(());
            }
        }
    }

    /// Forgets a consent of `user`; not one that another user has given since, in the same browser.
    async fn forget(&self, user: &UserIdentity, key: RecordKey) -> Result<(), StoreError> {
        if let Some(known) = self.records.load::<Consent>(key).await?
            && known.value.user == *user
        {
            self.records.remove(key, known.version).await?;
        }
        Ok(())
    }

    fn remembers(&self, request: &AuthorizationRequest) -> bool {
        let redirect_uri = &request.target.redirect_uri;
        !self.ttl.is_zero() && !redirect_uri.is_loopback() && !redirect_uri.is_app()
    }
}

/// No issuer is called so: no list of sessions or clients of a user is there.
fn list_key(user: &UserIdentity) -> RecordKey {
    RecordKey::of(Collection::USERS, &[b"consents of", user.issuer.as_str().as_bytes(), user.subject.as_bytes()])
}

fn key(browser: SecretHash, client_id: &str) -> RecordKey {
    RecordKey::of(Collection::CONSENTS, &[browser.as_bytes(), client_id.as_bytes()])
}
