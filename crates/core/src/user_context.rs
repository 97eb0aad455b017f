//! [`UserContext`]: who is calling, as a handler sees it.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Issuer, Principal, PrincipalKind, Revocation, ScopeSet, UnixTime, Upstream};

/// Who is calling, with what rights, until when.
///
/// Made from evidence: a verifier builds one only after its checks; [`UserContext::assertion`] is the one public door.
/// It never contains the token. `Debug` prints the principal and the scopes only; `Serialize` prints everything.
#[derive(Serialize)]
#[repr(C)] // The revocation comes first: in an `Arc` it shares a cache line with the reference count.
pub struct UserContext {
    #[serde(skip)]
    revocation: Revocation,
    #[serde(flatten)]
    principal: Principal,
    client_id: Option<Box<str>>,
    scopes: ScopeSet,
    expires_at: Option<UnixTime>,
    #[serde(skip)]
    revalidate_at: Option<UnixTime>,
    /// In nanoseconds since the epoch; 0 if no cache has said.
    #[serde(skip)]
    fresh_until: AtomicU64,
    #[serde(skip)]
    confirmed_at: Option<UnixTime>,
    claims: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    profile: Map<String, Value>,
    #[serde(skip)]
    upstream: Upstream,
}

impl UserContext {
    /// Asserts that `issuer` vouches for `subject`: the door for verifiers of your own.
    ///
    /// Whoever calls this has checked that the token is valid **and issued for this resource**.
    pub fn builder(issuer: Issuer, subject: &str) -> UserContextBuilder {
        UserContextBuilder {
            issuer,
            subject: subject.to_owned(),
            kind: PrincipalKind::User,
            client_id: None,
            scopes: ScopeSet::default(),
            expires_at: None,
            confirmed_at: None,
            claims: Map::new(),
            profile: Map::new(),
            upstream: Upstream::default(),
        }
    }

    /// The stable name of whoever is calling: the key for anything kept per user, such as handles and `requestState`.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The authorization server that issued the token.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        self.principal.issuer()
    }

    /// The user's name at the issuer.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.principal.subject()
    }

    /// The client through which the user calls, if the token says.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// What the token may be used for.
    #[must_use]
    pub const fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// When the token expires, if it is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// The claims of the token, or the members of the introspection response.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The user's profile (UserInfo); empty unless a verifier was told to fetch it.
    #[must_use]
    pub const fn profile(&self) -> &Map<String, Value> {
        &self.profile
    }

    /// The user's full name, for display: from the profile, else from the claims.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// The user's login name, for display: `preferred_username`, or `login` as GitHub says.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.text("preferred_username").or_else(|| self.text("login"))
    }

    /// The user's e-mail address, for display and mail. Not a key: addresses are reassigned, and may not be verified.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// The user's way to the provider behind this server.
    ///
    /// Always there to ask; without a grant behind it every request for a token fails with
    /// [`Reason::NoUpstream`](crate::Reason::NoUpstream).
    #[must_use]
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Until when this may be used without asking again, if that is known: until the token expires, or earlier.
    #[must_use]
    pub fn revalidate_at(&self) -> Option<UnixTime> {
        self.revalidate_at.into_iter().chain(self.expires_at).min()
    }

    /// Until when a cache answers with this context without asking its verifier again; `None` if no cache keeps it.
    ///
    /// Whatever holds a context for longer than one request, such as a response stream, asks the verifier again then.
    #[must_use]
    pub fn fresh_until(&self) -> Option<UnixTime> {
        Some(self.fresh_until.load(Relaxed)).filter(|nanos| *nanos != 0).map(UnixTime::from_nanos)
    }

    /// Sets until when this context [is fresh](Self::fresh_until). For caches, each time they keep it for some longer.
    pub fn set_fresh_until(&self, at: UnixTime) {
        self.fresh_until.store(at.as_nanos(), Relaxed);
    }

    /// When the provider behind this server last confirmed the user, if that is known: at the login, or when it last renewed the tokens of
    /// the grant.
    #[must_use]
    pub const fn confirmed_at(&self) -> Option<UnixTime> {
        self.confirmed_at
    }

    /// The same user, to be asked for again at `at`, if not before. The token lives on, and so do the streams that it opened.
    #[must_use]
    pub fn with_revalidate_at(mut self, at: UnixTime) -> Self {
        self.revalidate_at = Some(self.revalidate_at.map_or(at, |known| known.min(at)));
        self
    }

    /// The same user with a way to the provider: a new context, which is withdrawn when the grant behind it
    /// [ends](Upstream::revocation). For users that a verifier knows by a token of this server's own.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Upstream) -> Self {
        self.revocation = revocation_of(&upstream);
        self.upstream = upstream;
        self
    }

    /// The same user with further claims: those that the token does not make itself.
    #[must_use]
    pub fn with_extra_claims(mut self, claims: impl IntoIterator<Item = (String, Value)>) -> Self {
        for (name, value) in claims {
            self.claims.entry(name).or_insert(value);
        }
        self
    }

    /// The same user with a profile: a new context, with a revocation of its own.
    #[must_use]
    pub fn with_profile(&self, profile: Map<String, Value>) -> Self {
        Self {
            principal: self.principal.clone(),
            client_id: self.client_id.clone(),
            scopes: self.scopes.clone(),
            expires_at: self.expires_at,
            revalidate_at: self.revalidate_at,
            fresh_until: AtomicU64::default(),
            confirmed_at: self.confirmed_at,
            claims: self.claims.clone(),
            profile,
            upstream: self.upstream.clone(),
            revocation: revocation_of(&self.upstream),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.profile.get(name).or_else(|| self.claims.get(name)).and_then(Value::as_str)
    }

    /// Whether this context has been withdrawn, and a way to wait for that.
    #[must_use]
    pub const fn revocation(&self) -> &Revocation {
        &self.revocation
    }
}

/// A context ends with the grant that it was made from.
fn revocation_of(upstream: &Upstream) -> Revocation {
    upstream.revocation().map_or_else(Revocation::new, Revocation::following)
}

impl fmt::Debug for UserContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserContext")
            .field("principal", &self.principal)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Builds a [`UserContext`]; made by [`UserContext::assertion`].
#[derive(Clone)]
#[must_use]
pub struct UserContextBuilder {
    issuer: Issuer,
    subject: String,
    kind: PrincipalKind,
    client_id: Option<Box<str>>,
    scopes: ScopeSet,
    expires_at: Option<UnixTime>,
    confirmed_at: Option<UnixTime>,
    claims: Map<String, Value>,
    profile: Map<String, Value>,
    upstream: Upstream,
}

impl UserContextBuilder {
    /// A program acting for itself instead of a person.
    pub fn with_kind(mut self, kind: PrincipalKind) -> Self {
        self.kind = kind;
        self
    }

    /// The client through which the user calls.
    pub fn with_client_id(mut self, client_id: &str) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// What the token may be used for. Default: nothing.
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// When the token expires. Default: unknown, and then only the cache's lifetime bounds it.
    pub const fn with_expires_at(mut self, expires_at: UnixTime) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// When the provider behind this server last confirmed the user. Default: unknown.
    pub const fn with_confirmed_at(mut self, confirmed_at: UnixTime) -> Self {
        self.confirmed_at = Some(confirmed_at);
        self
    }

    /// The claims of the token.
    pub fn with_claims(mut self, claims: Map<String, Value>) -> Self {
        self.claims = claims;
        self
    }

    /// The user's profile.
    pub fn with_profile(mut self, profile: Map<String, Value>) -> Self {
        self.profile = profile;
        self
    }

    /// The user's way to the provider. The context is withdrawn when the grant behind it [ends](Upstream::revocation).
    pub fn with_upstream(mut self, upstream: Upstream) -> Self {
        self.upstream = upstream;
        self
    }

    /// When the token expires, if that is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// The subject asserted.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The context.
    #[must_use]
    pub fn build(self) -> UserContext {
        UserContext {
            principal: Principal::new(self.issuer, &self.subject, self.kind),
            client_id: self.client_id,
            scopes: self.scopes,
            expires_at: self.expires_at,
            revalidate_at: None,
            fresh_until: AtomicU64::default(),
            confirmed_at: self.confirmed_at,
            claims: self.claims,
            profile: self.profile,
            revocation: revocation_of(&self.upstream),
            upstream: self.upstream,
        }
    }
}

impl fmt::Debug for UserContextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserContextBuilder")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> UserContext {
        let claims = serde_json::json!({"email": "claim@example.test", "name": "Claim", "secret": "hush"});
        let profile = serde_json::json!({"email": "profile@example.test"});
        UserContext::builder(Issuer::new("https://idp.example.com").expect("issuer"), "alice")
            .with_client_id("client-1")
            .with_scopes(ScopeSet::parse("mcp:read").expect("scopes"))
            .with_expires_at(UnixTime::from_secs(17))
            .with_claims(claims.as_object().cloned().unwrap_or_default())
            .with_profile(profile.as_object().cloned().unwrap_or_default())
            .build()
    }

    #[test]
    fn the_profile_goes_before_the_claims() {
        assert_eq!(context().email(), Some("profile@example.test"));
        assert_eq!(context().name(), Some("Claim"));
        assert_eq!(context().username(), None);
    }

    #[test]
    fn a_context_may_have_to_be_renewed_before_its_token_expires_and_not_after() {
        let at = |secs| Some(UnixTime::from_secs(secs));
        let user = context();
        assert_eq!(user.revalidate_at(), at(17));
        let user = user.with_revalidate_at(UnixTime::from_secs(20));
        assert_eq!((user.revalidate_at(), user.expires_at()), (at(17), at(17)));
        let user = user
            .with_revalidate_at(UnixTime::from_secs(5))
            .with_revalidate_at(UnixTime::from_secs(9))
            .with_profile(Map::new());
        assert_eq!((user.revalidate_at(), user.expires_at()), (at(5), at(17)));
    }

    #[test]
    fn further_claims_replace_none() {
        let further = serde_json::json!({"name": "Other", "roles": ["admin"]});
        let user = context().with_extra_claims(further.as_object().cloned().unwrap_or_default());
        assert_eq!((user.name(), user.claims()["roles"][0].as_str()), (Some("Claim"), Some("admin")));
    }

    #[test]
    fn serializes_flat_and_debugs_without_claims() {
        let json = serde_json::to_value(context()).expect("json");
        assert_eq!(json["issuer"], "https://idp.example.com");
        assert_eq!(json["subject"], "alice");
        assert_eq!(json["kind"], "user");
        assert_eq!(json["scopes"], serde_json::json!(["mcp:read"]));
        assert_eq!(json["expires_at"], 17);
        assert!(!format!("{:?}", context()).contains("hush"));
    }
}
