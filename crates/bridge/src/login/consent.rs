//! [`Consents`]: stored consents, the sealed form of the consent page, and the [`Cookies`] by which browsers are recognized.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use portcullis_core::{Clock, Issuer, ResourceUri, ScopeSet, UnixTime};
use portcullis_store::{RecordKey, SealedStore, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::AuthorizationRequest;
use crate::{
    BridgeConfig, Client, RedirectUri, collections,
    config::Urls,
    session::{SecretHash, SessionUser, base64_bytes},
};

/// The consents of users by browser and client. A stored consent skips the consent page.
///
/// MCP Security Best Practices, Confused Deputy: the provider knows the bridge and not its clients, and a user who is logged in there sees
/// no page. So the bridge redirects to the provider only for a client that the user has approved. The user is known only after the login,
/// and is compared with the consent then.
///
/// Consents are stored for `https` redirect URIs only. Any program of the user's machine can listen on loopback or register a private
/// scheme and impersonate the client, so there the consent page is always shown
/// ([RFC 8252 section 8.6](https://www.rfc-editor.org/rfc/rfc8252#section-8.6)).
#[derive(Debug)]
pub(crate) struct Consents {
    records: SealedStore,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    /// How long a consent page may be open.
    form_ttl: Duration,
}

/// A stored consent.
#[derive(Serialize, Deserialize)]
pub(crate) struct Consent {
    client: ClientFingerprint,
    redirect_uri: RedirectUri,
    resource: ResourceUri,
    scopes: ScopeSet,
    pub(crate) user: UserIdentity,
}

/// The stable identity of a user.
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

/// The state of a consent page, sealed in its form. Only the browser that received it can return it.
///
/// Nothing is stored for a page that may never be answered. Each answer begins a login of its own.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConsentForm {
    pub(crate) request: AuthorizationRequest,
    /// The client as the page described it.
    pub(crate) client: ClientFingerprint,
    pub(crate) browser: SecretHash,
    /// When the page was created, in seconds.
    shown_at: u64,
}

/// A browser, identified by a cookie. It does not identify a user.
#[derive(Debug)]
pub(crate) struct Browser(SecretString);

/// Separates sealed forms from other texts that are sealed with the same keys.
const FORM_PURPOSE: &str = "consent form";

const BROWSER_COOKIE: &str = "browser";

/// The maximum number of stored consents per user.
const MAX_PER_USER: usize = 100;

/// The keys of one user's consents, the oldest first. Some may not exist any more.
#[derive(Clone, Default, Serialize, Deserialize)]
struct ConsentsOfUser(Vec<ConsentKey>);

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct ConsentKey(#[serde(with = "base64_bytes")] [u8; 32]);

/// A hash of the client's description on the consent page and of its redirect URIs. If it changes, the user is asked again.
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

impl Browser {
    /// Returns the browser that sent `headers`, if it has the cookie.
    pub(crate) fn from_headers(headers: &HeaderMap, cookies: Cookies) -> Option<Self> {
        cookies.find(headers, BROWSER_COOKIE).map(Self)
    }

    /// Generates the identifier of a new browser.
    pub(crate) fn new() -> Self {
        Self(random_text())
    }

    pub(crate) fn hash(&self) -> SecretHash {
        SecretHash::of_text(&self.0)
    }
}

impl Consent {
    /// Reports whether it includes everything in `request`.
    fn covers(&self, client: &Client, request: &AuthorizationRequest) -> bool {
        self.client == ClientFingerprint::of(client)
            && self.redirect_uri == request.target.redirect_uri
            && self.resource == request.resource
            && self.scopes.is_superset(&request.scopes)
    }
}

impl Consents {
    pub(crate) fn new(config: &BridgeConfig, records: SealedStore, clock: Arc<dyn Clock>) -> Self {
        Self { records, clock, ttl: config.consent_ttl, form_ttl: config.login_ttl }
    }

    /// Returns the consent that was given in `browser`, if it covers `request`.
    pub(crate) async fn find(
        &self,
        browser: SecretHash,
        client: &Client,
        request: &AuthorizationRequest,
    ) -> Result<Option<Consent>, StoreError> {
        if !self.is_stored(request) {
            return Ok(None);
        }
        let opened = self.records.load::<Consent>(key(browser, &request.client_id)).await?;
        Ok(opened.map(|opened| opened.value).filter(|consent| consent.covers(client, request)))
    }

    /// Stores the consent of `user`.
    pub(crate) async fn store(
        &self,
        browser: SecretHash,
        client: ClientFingerprint,
        request: &AuthorizationRequest,
        user: UserIdentity,
    ) -> Result<(), StoreError> {
        if !self.is_stored(request) {
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
        // Of two concurrent writes either is a recent consent.
        match self.records.load::<Consent>(key).await? {
            Some(known) => self.records.replace(key, known.version, &consent, expires_at).await?,
            None => self.records.create(key, &consent, expires_at).await?,
        };
        self.list(&consent.user, key, expires_at).await
    }

    /// Adds the consent at `key` to the list of `user`, and removes the oldest beyond the limit.
    async fn list(&self, user: &UserIdentity, key: RecordKey, expires_at: UnixTime) -> Result<(), StoreError> {
        let (list, new) = (list_key(user), ConsentKey(*key.as_bytes()));
        loop {
            let found = self.records.load::<ConsentsOfUser>(list).await?;
            let (version, mut listed) =
                found.map_or_else(|| (None, ConsentsOfUser::default()), |found| (Some(found.version), found.value));
            listed.0.retain(|known| *known != new);
            listed.0.push(new);
            let excess = listed.0.len().saturating_sub(MAX_PER_USER);
            for ConsentKey(oldest) in listed.0.drain(..excess) {
                self.remove(user, RecordKey::new(collections::CONSENTS, oldest)).await?;
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

    /// Removes a consent of `user`, unless another user has replaced it in the same browser.
    async fn remove(&self, user: &UserIdentity, key: RecordKey) -> Result<(), StoreError> {
        if let Some(known) = self.records.load::<Consent>(key).await?
            && known.value.user == *user
        {
            self.records.remove(key, known.version).await?;
        }
        Ok(())
    }

    /// Seals a form, so that the browser returns it unchanged.
    pub(crate) fn seal_form(&self, client: &Client, browser: &Browser, request: AuthorizationRequest) -> String {
        let shown_at = self.clock.now().as_secs();
        let form = ConsentForm { client: ClientFingerprint::of(client), browser: browser.hash(), shown_at, request };
        self.records.seal_text(FORM_PURPOSE, &serde_json::to_vec(&form).expect("a form is plain data"))
    }

    /// Opens a sealed form; `None` if `text` was not sealed by this bridge.
    pub(crate) fn open_form(&self, text: &str) -> Option<ConsentForm> {
        let plain = self.records.open_text(FORM_PURPOSE, text)?;
        serde_json::from_slice(&plain).ok()
    }

    /// Reports whether the page of `form` was open for too long.
    pub(crate) fn is_expired(&self, form: &ConsentForm) -> bool {
        self.clock.now() >= UnixTime::from_secs(form.shown_at) + self.form_ttl
    }

    /// Sets the cookie that identifies `browser`, for as long as consents are stored; without stored consents, until it is closed.
    pub(crate) fn set_browser_cookie(&self, headers: &mut HeaderMap, browser: &Browser, cookies: Cookies) {
        cookies.set(headers, BROWSER_COOKIE, &browser.0, Some(self.ttl).filter(|ttl| !ttl.is_zero()));
    }

    fn is_stored(&self, request: &AuthorizationRequest) -> bool {
        let redirect_uri = &request.target.redirect_uri;
        !self.ttl.is_zero() && redirect_uri.is_https()
    }
}

/// No issuer has this name, so the key differs from those of other lists of a user.
fn list_key(user: &UserIdentity) -> RecordKey {
    RecordKey::of(collections::USERS, &[b"consents of", user.issuer.as_str().as_bytes(), user.subject.as_bytes()])
}

fn key(browser: SecretHash, client_id: &str) -> RecordKey {
    RecordKey::of(collections::CONSENTS, &[browser.as_bytes(), client_id.as_bytes()])
}

/// The bridge's cookies. Their values are random texts, of which the bridge stores hashes.
///
/// Their names begin with `__Host-`: a browser accepts them from this host only, over TLS, so that no other host of the same domain can
/// set them (MCP Security Best Practices, Confused Deputy; RFC 6265bis section 4.1.3.2). On an `http` issuer, which is on loopback, there
/// is no prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    is_https: bool,
}

impl Cookies {
    pub(crate) fn new(urls: &Urls) -> Self {
        Self { is_https: urls.is_https() }
    }

    /// Returns the cookie `name`, if its value has the form that the bridge sets.
    pub(crate) fn find(self, headers: &HeaderMap, name: &str) -> Option<SecretString> {
        let name = self.full(name);
        let found = pairs(headers).find(|(known, _)| *known == name).map(|(_, value)| value)?;
        (found.len() == RANDOM_TEXT_LEN).then(|| found.into())
    }

    /// Returns the names that begin with `prefix`, the oldest first, as browsers send them.
    pub(crate) fn names(self, headers: &HeaderMap, prefix: &str) -> Vec<String> {
        let (full, own) = (self.full(prefix), self.full(""));
        let names = pairs(headers).map(|(name, _)| name).filter(|name| name.starts_with(&full));
        names.map(|name| name[own.len()..].to_owned()).collect()
    }

    /// Sets a cookie for `max_age`, or for the browser session. Browsers send it with requests of this host and with links from other
    /// sites, such as the provider's redirect, but not with forms and frames of other sites. Scripts cannot read it.
    pub(crate) fn set(self, headers: &mut HeaderMap, name: &str, value: &SecretString, max_age: Option<Duration>) {
        self.write(headers, name, value.expose_secret(), max_age);
    }

    /// Deletes the cookie `name`.
    pub(crate) fn clear(self, headers: &mut HeaderMap, name: &str) {
        self.write(headers, name, "", Some(Duration::ZERO));
    }

    fn write(self, headers: &mut HeaderMap, name: &str, value: &str, max_age: Option<Duration>) {
        let mut text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", self.full(name));
        if self.is_https {
            text.push_str("; Secure");
        }
        if let Some(max_age) = max_age {
            let _ = write!(text, "; Max-Age={}", max_age.as_secs());
        }
        if let Ok(mut text) = HeaderValue::try_from(text) {
            text.set_sensitive(true);
            headers.append(header::SET_COOKIE, text);
        }
    }

    fn full(self, name: &str) -> String {
        let prefix = if self.is_https { "__Host-" } else { "" };
        format!("{prefix}portcullis-{name}")
    }
}

/// Returns the cookies of a request. RFC 6265 section 5.4; by HTTP/2 they may come in several headers (RFC 9113 section 8.2.3).
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let headers = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    headers.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// The length of a random text.
const RANDOM_TEXT_LEN: usize = 43;

/// Generates 256 random bits as a text for URLs, cookies and forms.
pub(super) fn random_text() -> SecretString {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes);
    SecretString::from(URL_SAFE_NO_PAD.encode(*bytes))
}
