//! [`UserContext`]: the authenticated caller, as a handler sees it.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Issuer, Principal, PrincipalKind, Revocation, ScopeSet, UnixTime, Upstream};

/// The authenticated caller: identity, scopes and expiry.
///
/// A verifier builds one only after its checks, with [`UserContext::builder`], which is the only public constructor.
/// It never contains the token. `Debug` prints the principal and the scopes only; `Serialize` prints everything.
#[derive(Serialize)]
#[repr(C)] // The revocation comes first: within an `Arc` it shares a cache line with the reference count.
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
    /// In nanoseconds since the epoch; 0 if no cache has set it.
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
    /// Creates a builder, which asserts that `issuer` identifies the caller as `subject`. It is for your own verifiers.
    ///
    /// The caller of this function must have verified that the token is valid **and was issued for this resource**.
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

    /// Returns the stable identity of the caller: the key for all data that belongs to a user, such as handles and `requestState`.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Returns the authorization server that identifies the user.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        self.principal.issuer()
    }

    /// Returns the subject: the user's identifier at the issuer.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.principal.subject()
    }

    /// Returns the client through which the user calls, if the token names it.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// Returns the scopes of the token.
    #[must_use]
    pub const fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// Returns the expiry of the token, if it is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// Returns the claims of the token, or the members of the introspection response.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Returns the user's profile (UserInfo); empty unless a verifier is configured to fetch it.
    #[must_use]
    pub const fn profile(&self) -> &Map<String, Value> {
        &self.profile
    }

    /// Returns the user's full name, for display: from the profile, else from the claims.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// Returns the user's login name, for display: `preferred_username`, else `login` (GitHub).
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.text("preferred_username").or_else(|| self.text("login"))
    }

    /// Returns the user's e-mail address, for display and mail. It is not a key: addresses are reassigned, and may not be verified.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// Returns the handle to the user's tokens at the upstream provider.
    ///
    /// It is always present; without a grant every request for a token fails with
    /// [`Reason::NoUpstream`](crate::Reason::NoUpstream).
    #[must_use]
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Returns the time after which the context must be revalidated, if it is known: the expiry of the token, or earlier.
    #[must_use]
    pub fn revalidate_at(&self) -> Option<UnixTime> {
        self.revalidate_at.into_iter().chain(self.expires_at).min()
    }

    /// Returns the time until which a cache returns this context without calling its verifier; `None` if it is not in a cache.
    ///
    /// A component that holds a context for longer than one request, such as a response stream, verifies the token again at this time.
    #[must_use]
    pub fn fresh_until(&self) -> Option<UnixTime> {
        Some(self.fresh_until.load(Relaxed)).filter(|nanos| *nanos != 0).map(UnixTime::from_nanos)
    }

    /// Sets the time until which this context [is fresh](Self::fresh_until). A cache calls it whenever it extends the lifetime.
    pub fn set_fresh_until(&self, at: UnixTime) {
        self.fresh_until.store(at.as_nanos(), Relaxed);
    }

    /// Returns the time at which the upstream provider last confirmed the user, if it is known: at the login, or at the last refresh of
    /// the tokens of the grant.
    #[must_use]
    pub const fn confirmed_at(&self) -> Option<UnixTime> {
        self.confirmed_at
    }

    /// Sets the time after which the context must be revalidated, unless an earlier one is set. The token does not expire then, and
    /// response streams continue.
    #[must_use]
    pub fn with_revalidate_at(mut self, at: UnixTime) -> Self {
        self.revalidate_at = Some(self.revalidate_at.map_or(at, |known| known.min(at)));
        self
    }

    /// Sets the handle to the upstream provider. The result is a new context, which is revoked when the grant
    /// [ends](Upstream::revocation). It is for users whose token this server has issued itself.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Upstream) -> Self {
        self.revocation = revocation_of(&upstream);
        self.upstream = upstream;
        self
    }

    /// Adds claims that the token does not have. A claim of the token is never replaced.
    #[must_use]
    pub fn with_extra_claims(mut self, claims: impl IntoIterator<Item = (String, Value)>) -> Self {
        for (name, value) in claims {
            self.claims.entry(name).or_insert(value);
        }
        self
    }

    /// Returns the same user with `profile`: a new context with its own revocation.
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

    /// Returns the revocation of this context.
    #[must_use]
    pub const fn revocation(&self) -> &Revocation {
        &self.revocation
    }
}

/// Returns the revocation of a context, which follows the grant that it was built from.
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

/// A builder for [`UserContext`], created by [`UserContext::builder`].
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
    /// Sets the kind of the principal. Default: a user.
    pub fn with_kind(mut self, kind: PrincipalKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the client through which the user calls.
    pub fn with_client_id(mut self, client_id: &str) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Sets the scopes of the token. Default: none.
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the expiry of the token. Default: unknown, so that only the lifetime of a cache entry limits it.
    pub const fn with_expires_at(mut self, expires_at: UnixTime) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Sets the time at which the upstream provider last confirmed the user. Default: unknown.
    pub const fn with_confirmed_at(mut self, confirmed_at: UnixTime) -> Self {
        self.confirmed_at = Some(confirmed_at);
        self
    }

    /// Sets the claims of the token.
    pub fn with_claims(mut self, claims: Map<String, Value>) -> Self {
        self.claims = claims;
        self
    }

    /// Sets the user's profile.
    pub fn with_profile(mut self, profile: Map<String, Value>) -> Self {
        self.profile = profile;
        self
    }

    /// Sets the handle to the upstream provider. The context is revoked when the grant [ends](Upstream::revocation).
    pub fn with_upstream(mut self, upstream: Upstream) -> Self {
        self.upstream = upstream;
        self
    }

    /// Returns the expiry of the token, if it is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// Returns the subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Builds the context.
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
    fn extra_claims_do_not_replace_claims_of_the_token() {
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
