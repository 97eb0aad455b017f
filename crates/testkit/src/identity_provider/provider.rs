//! [`IdentityProvider`]: the handle that a test holds.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{Clock, SystemClock};
use serde_json::{Map, Value};

use super::{
    Endpoint, Fault, KeyAlgorithm, LoginPolicy, SeenRequest, TokenBuilder, TokenPolicy, state::State, vendor::Standard,
};

/// A fake authorization server, in memory. Clones are the same server.
///
/// It is a tower service from `http::Request<Bytes>` to `http::Response<Bytes>`, so it can stand behind an egress without
/// any network; or [`serve`](Self::serve) it on a loopback socket. What changes something ([`Endpoint::Token`],
/// [`Endpoint::Revocation`]) is processed on a task of its own, as in a real server: a closed connection does not undo it. It has
/// metadata (both kinds), a key set, a login page, a token endpoint that issues ID tokens, rotates refresh tokens and knows
/// reuse, revocation, introspection, UserInfo, and GitHub's user and token-check endpoints; see [`Endpoint`].
///
/// It **authenticates no user**: never put it in front of a real service.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use portcullis_egress::Egress;
/// use portcullis_testkit::{Endpoint, Fault, IdentityProvider};
/// use tower::ServiceExt;
///
/// let provider = IdentityProvider::new();
/// let token = provider.token("alice").with_scope("mcp:read").jwt();
/// assert!(token.starts_with("eyJ"));
///
/// let egress = Egress::from_service(provider.clone());
/// let request = || {
///     let request = http::Request::get("https://idp.example.test/userinfo");
///     request.header("authorization", format!("Bearer {token}")).body(bytes::Bytes::new()).unwrap()
/// };
/// let response = egress.clone().oneshot(request()).await?;
/// assert_eq!(response.status(), 200);
/// assert!(response.body().starts_with(br#"{"email":"alice@example.test""#));
///
/// provider.set_fault(Endpoint::UserInfo, Fault::status(503));
/// assert_eq!(egress.oneshot(request()).await?.status(), 503);
/// assert_eq!(provider.calls(Endpoint::UserInfo), 2);
/// # Ok::<_, portcullis_egress::EgressError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct IdentityProvider(Arc<Mutex<State>>);

impl IdentityProvider {
    /// The default issuer.
    pub const ISSUER: &str = "https://idp.example.test";
    /// The default resource for which tokens are issued.
    pub const AUDIENCE: &str = "https://mcp.example.test/mcp";
    /// A client that may redeem codes, refresh, introspect and check tokens, with [`CLIENT_SECRET`](Self::CLIENT_SECRET).
    pub const CLIENT_ID: &str = "resource-server";
    /// The secret of [`CLIENT_ID`](Self::CLIENT_ID).
    pub const CLIENT_SECRET: &str = "resource-server-secret";

    /// Creates a provider with one key (`RS256`) and the system clock.
    #[must_use]
    pub fn new() -> Self {
        let mut state = State {
            dialect: &Standard,
            issuer: Self::ISSUER.to_owned(),
            audience: Self::AUDIENCE.to_owned(),
            clock: Arc::new(SystemClock::new()),
            keys: Vec::new(),
            signing_kid: String::new(),
            foreign_keys: Vec::new(),
            key_set_max_age: None,
            clients: [(Self::CLIENT_ID.to_owned(), Self::CLIENT_SECRET.to_owned())].into(),
            public_clients: Default::default(),
            is_registration_open: false,
            metadata: Map::new(),
            redirect_uris: Default::default(),
            users: Default::default(),
            tokens: Default::default(),
            serial: 0,
            ledger: Default::default(),
            policy: TokenPolicy::new(),
            login_policy: LoginPolicy::new(),
            sessions: Default::default(),
            forgeries: Default::default(),
            switches: Default::default(),
        };
        state.signing_kid = state.add_key(KeyAlgorithm::Rs256);
        Self(Arc::new(Mutex::new(state)))
    }

    /// Sets the issuer. The endpoints are below it.
    #[must_use]
    pub fn with_issuer(self, issuer: &str) -> Self {
        issuer.clone_into(&mut self.state().issuer);
        self
    }

    /// Sets the resource for which tokens are issued.
    #[must_use]
    pub fn with_audience(self, audience: &str) -> Self {
        audience.clone_into(&mut self.state().audience);
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.state().clock = clock;
        self
    }

    /// Returns the issuer.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.state().issuer.clone()
    }

    /// Returns the URL of `path` (such as `/jwks`) below the issuer.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.state().base())
    }

    /// Returns the URL of `endpoint`; a URL with a client id has [`CLIENT_ID`](Self::CLIENT_ID).
    ///
    /// # Panics
    /// If the vendor has no such endpoint.
    #[must_use]
    pub fn endpoint_url(&self, endpoint: Endpoint) -> String {
        self.state().url_of(endpoint).expect("an endpoint of this vendor")
    }

    // === tokens and users ===

    /// Creates a builder of an access token for the user `subject`.
    pub fn token(&self, subject: &str) -> TokenBuilder {
        TokenBuilder::access_token(self.clone(), subject)
    }

    /// Creates a builder of an identity assertion (ID-JAG): the client `client_id` may request access for the user `subject` at the
    /// authorization server `audience`. The assertion is valid for five minutes, and for any resource and scope; add the claim
    /// `resource` to restrict it.
    ///
    /// ```
    /// use portcullis_testkit::IdentityProvider;
    ///
    /// let provider = IdentityProvider::new();
    /// let assertion = provider.id_jag("alice", "https://as.example.test", "mcp-client");
    /// let assertion = assertion.with_claim("resource", IdentityProvider::AUDIENCE).with_scope("mcp:read").jwt();
    /// assert!(assertion.starts_with("eyJ"));
    /// ```
    pub fn id_jag(&self, subject: &str, audience: &str, client_id: &str) -> TokenBuilder {
        TokenBuilder::id_jag(self.clone(), subject, audience, client_id)
    }

    /// Revokes `token`: introspection reports it as not active, the other endpoints reject it.
    pub fn revoke(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    /// Sets the profile of a user: `profile` over what every user has (`sub`, `id`, `name`, `preferred_username`, `email`).
    pub fn set_user(&self, subject: &str, profile: Map<String, Value>) {
        self.state().set_user(subject, profile);
    }

    /// Registers a client that may do what [`CLIENT_ID`](Self::CLIENT_ID) may, or changes its secret.
    pub fn set_client(&self, client_id: &str, client_secret: &str) {
        self.state().clients.insert(client_id.to_owned(), client_secret.to_owned());
    }

    /// Sets the redirect URIs of this client. Before, every redirect URI is accepted.
    pub fn set_redirect_uris(&self, client_id: &str, redirect_uris: &[&str]) {
        let redirect_uris = redirect_uris.iter().map(|&uri| uri.to_owned()).collect();
        self.state().redirect_uris.insert(client_id.to_owned(), redirect_uris);
    }

    // === keys ===

    /// Creates a key and publishes it, but does not sign with it yet. Returns its `kid`.
    pub fn add_key(&self, algorithm: KeyAlgorithm) -> String {
        self.state().add_key(algorithm)
    }

    /// Creates a key of the algorithm in use and signs with it from now on; the old keys remain published. Returns its `kid`.
    pub fn rotate_keys(&self) -> String {
        let mut state = self.state();
        let algorithm = state.key(&state.signing_kid).map_or(KeyAlgorithm::Rs256, |key| key.algorithm);
        state.signing_kid = state.add_key(algorithm);
        state.signing_kid.clone()
    }

    /// Removes every key but the signing key from the key set. After [`rotate_keys`](Self::rotate_keys): a rotation
    /// without overlap.
    pub fn retire_old_keys(&self) {
        let mut state = self.state();
        let signing_kid = state.signing_kid.clone();
        for key in &mut state.keys {
            key.published = key.kid == signing_kid;
        }
    }

    /// Signs with the key `kid` from now on, published or not.
    ///
    /// # Panics
    /// If there never was such a key.
    pub fn sign_with(&self, kid: &str) {
        let mut state = self.state();
        assert!(state.key(kid).is_some(), "no key {kid:?}");
        kid.clone_into(&mut state.signing_kid);
    }

    /// Returns the `kid` of the signing key.
    #[must_use]
    pub fn signing_kid(&self) -> String {
        self.state().signing_kid.clone()
    }

    /// Returns the public signing key as PEM: what an attacker uses as the secret of an HMAC.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        let state = self.state();
        state.key(&state.signing_kid).map(|key| key.public_pem()).unwrap_or_default()
    }

    /// Publishes `jwk` among the keys: a key of an unknown type, or an invalid one.
    pub fn publish_foreign_key(&self, jwk: Value) {
        self.state().foreign_keys.push(jwk);
    }

    /// Sends the key set with `Cache-Control: max-age`.
    pub fn set_key_set_max_age(&self, max_age: Duration) {
        self.state().key_set_max_age = Some(max_age);
    }

    // === switches and counters ===

    /// Sets the fault of `endpoint`.
    pub fn set_fault(&self, endpoint: Endpoint, fault: Fault) {
        self.state().switches(endpoint).fault = Some(fault);
    }

    /// Delays `endpoint`, by tokio's clock, before it processes a request or its fault applies.
    pub fn set_latency(&self, endpoint: Endpoint, latency: Duration) {
        self.state().switches(endpoint).latency = latency;
    }

    /// Delays `endpoint`, by tokio's clock, *after* it has processed a request: the refresh token is spent, and its successor is not
    /// received yet.
    pub fn set_answer_latency(&self, endpoint: Endpoint, latency: Duration) {
        self.state().switches(endpoint).answer_latency = latency;
    }

    /// Ends the fault and both latencies of `endpoint`.
    pub fn heal(&self, endpoint: Endpoint) {
        let mut state = self.state();
        let switches = state.switches(endpoint);
        switches.fault = None;
        switches.latency = Duration::ZERO;
        switches.answer_latency = Duration::ZERO;
    }

    /// Returns the number of calls of `endpoint`, with any outcome.
    #[must_use]
    pub fn calls(&self, endpoint: Endpoint) -> usize {
        self.state().switches.get(&endpoint).map_or(0, |switches| switches.calls)
    }

    /// Returns the last request that `endpoint` received.
    #[must_use]
    pub fn last_request(&self, endpoint: Endpoint) -> Option<SeenRequest> {
        self.state().switches.get(&endpoint).and_then(|switches| switches.last.clone())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for IdentityProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProvider").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}
