//! [`Provider`]: an authorization server upstream of us.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{BearerToken, InvalidUri, Issuer};
use secrecy::SecretString;

use super::{Rotation, vendor::Vendor};
use crate::{
    ClientAuthentication, ProtocolError, introspection,
    revocation::{self, RevokedTokens},
};

/// An authorization server upstream of us: where its endpoints are, and how its vendor reads and writes the messages of OAuth.
///
/// It sends nothing and keeps no secret. One is made by [`oidc`](Self::oidc), [`keycloak`](Self::keycloak),
/// [`google`](Self::google), [`github`](Self::github), [`atlassian`](Self::atlassian) or [`salesforce`](Self::salesforce); every
/// endpoint can be another one.
///
/// It does **not** check that its endpoints belong to its issuer: whoever configures them vouches for that.
///
/// ```
/// use http::Uri;
/// use portcullis_core::ScopeSet;
/// use portcullis_oauth::{CodeVerifier, providers::{AuthorizationRequest, Provider}};
///
/// let atlassian = Provider::atlassian();
/// let verifier = CodeVerifier::new([7; 32]); // Random bytes, from the operating system.
/// let scopes = ScopeSet::parse("read:me offline_access")?;
/// let request = AuthorizationRequest::new("my-app", "https://mcp.example.com/callback", "st4te", &verifier).with_scopes(&scopes);
/// let url = atlassian.authorization_url(&request);
/// assert!(url.starts_with("https://auth.atlassian.com/authorize?response_type=code&client_id=my-app&"));
/// assert!(url.contains("&scope=read%3Ame+offline_access&"));
/// assert!(url.contains("&audience=api.atlassian.com"));
///
/// let sandbox = Provider::atlassian().with_token_endpoint(Uri::from_static("https://sandbox.example.com/token"));
/// assert_eq!(sandbox.token_endpoint().host(), Some("sandbox.example.com"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Provider {
    pub(super) vendor: &'static Vendor,
    pub(super) issuer: Issuer,
    pub(super) endpoints: Endpoints,
    rotation: Rotation,
    default_lifetime: Option<Duration>,
    pub(super) advertises_issuer: bool,
    pub(super) id_tokens: bool,
    pub(super) dead_grant_errors: Vec<Box<str>>,
}

/// Where to send what.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    pub(super) authorization: Uri,
    pub(super) token: Uri,
    pub(super) userinfo: Option<Uri>,
    pub(super) introspection: Option<Uri>,
    pub(super) revocation: Option<Uri>,
    pub(super) keys: Option<Uri>,
}

impl Endpoints {
    pub(super) const fn new(authorization: Uri, token: Uri) -> Self {
        Self { authorization, token, userinfo: None, introspection: None, revocation: None, keys: None }
    }
}

impl Provider {
    pub(super) const fn new(vendor: &'static Vendor, issuer: Issuer, endpoints: Endpoints) -> Self {
        let (rotation, default_lifetime) = (vendor.rotation, vendor.lifetime);
        let (advertises_issuer, id_tokens) = (false, vendor.id_tokens);
        let dead_grant_errors = Vec::new();
        Self { vendor, issuer, endpoints, rotation, default_lifetime, advertises_issuer, id_tokens, dead_grant_errors }
    }

    /// The vendor: `oidc`, `keycloak`, `google`, `github`, `atlassian` or `salesforce`. Fit for a label.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.vendor.name
    }

    /// The authorization server itself: what its users are users of.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Under another name, compared as a string: for a server that is reached by another URL than its tokens name, such as a
    /// Keycloak behind a proxy, or for a stand-in.
    #[must_use]
    pub fn with_issuer(mut self, issuer: Issuer) -> Self {
        self.issuer = issuer;
        self
    }

    /// Sends users there for their consent.
    #[must_use]
    pub fn with_authorization_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.authorization = endpoint;
        self
    }

    /// Gets tokens there.
    #[must_use]
    pub fn with_token_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.token = endpoint;
        self
    }

    /// Gets profiles there. What supplements them (GitHub's e-mail addresses, Atlassian's sites) is looked for beside it.
    #[must_use]
    pub fn with_userinfo_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.userinfo = Some(endpoint);
        self
    }

    /// Asks there about tokens.
    #[must_use]
    pub fn with_introspection_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.introspection = Some(endpoint);
        self
    }

    /// Takes tokens back there. For GitHub, the collection of its applications.
    #[must_use]
    pub fn with_revocation_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.revocation = Some(endpoint);
        self
    }

    /// Gets the keys of its ID tokens there.
    #[must_use]
    pub fn with_jwks_uri(mut self, jwks_uri: Uri) -> Self {
        self.endpoints.keys = Some(jwks_uri);
        self
    }

    /// States that every authorization response names its issuer (`iss`), so that one without is refused. Default: what the
    /// metadata says (`authorization_response_iss_parameter_supported`), else not stated.
    ///
    /// [RFC 9207 section 3](https://www.rfc-editor.org/rfc/rfc9207#section-3)
    #[must_use]
    pub const fn with_advertised_issuer(mut self) -> Self {
        self.advertises_issuer = true;
        self
    }

    /// Takes no ID tokens: who a user is, the profile alone tells, as it does at GitHub. Default: what the vendor does.
    ///
    /// For a server that issues none though `openid` is asked for, or whose keys cannot be had. Without them PKCE alone binds a
    /// login to the browser in which it began.
    #[must_use]
    pub const fn without_id_tokens(mut self) -> Self {
        self.id_tokens = false;
        self
    }

    /// What presenting a refresh token twice does there. Default: what the vendor says; where that depends on a set-up, the
    /// worst: [`Rotation::SingleUse`].
    #[must_use]
    pub const fn with_rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// Takes an answer of the token endpoint that says one of `errors` for the end of a grant, at once. Default: what the standard and
    /// the vendor say.
    ///
    /// For a server that says it in words of its own: `BAD_REFRESH_TOKEN`. Each is compared, as a string, with the members `error`,
    /// `error_code`, `code` and `status` of a JSON answer, and with `code`, `status` and `type` of an object `error`. What says that the
    /// credentials of this server are wrong, or that the provider fails, ends no grant: neither `invalid_client` nor
    /// `temporarily_unavailable` does, nor any answer with the status 408, 425, 429 or 5xx.
    #[must_use]
    pub fn with_dead_grant_errors<'a>(mut self, errors: impl IntoIterator<Item = &'a str>) -> Self {
        self.dead_grant_errors = errors.into_iter().map(Box::from).collect();
        self
    }

    /// How long an access token lives if nobody tells: neither the token response nor the token, nor introspection. Default: two
    /// hours for Salesforce, else unknown, and then only a refusal shows that it is over.
    #[must_use]
    pub const fn with_default_lifetime(mut self, lifetime: Duration) -> Self {
        self.default_lifetime = Some(lifetime);
        self
    }

    /// Where tokens are handed out.
    #[must_use]
    pub const fn token_endpoint(&self) -> &Uri {
        &self.endpoints.token
    }

    /// What presenting a refresh token twice does.
    #[must_use]
    pub const fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// Whether a refresh ends the access token that came before, so that it is not done ahead of time.
    #[must_use]
    pub const fn ends_access_token_on_refresh(&self) -> bool {
        self.vendor.refresh_ends_access_token
    }

    /// How long an access token lives if nobody tells.
    #[must_use]
    pub const fn default_lifetime(&self) -> Option<Duration> {
        self.default_lifetime
    }

    /// A question whether `token` is active, and until when; `None` if nobody answers that. Its answer goes to
    /// [`introspection::process`].
    #[must_use]
    pub fn introspection_request(&self, client: &ClientAuthentication, token: &BearerToken) -> Option<Request<Bytes>> {
        Some(introspection::request(self.endpoints.introspection.as_ref()?, client, token))
    }

    /// A question whether `refresh_token` is active; `None` if nobody answers that.
    #[must_use]
    pub fn refresh_token_introspection_request(
        &self,
        client: &ClientAuthentication,
        refresh_token: &SecretString,
    ) -> Option<Request<Bytes>> {
        Some(introspection::refresh_token_request(self.endpoints.introspection.as_ref()?, client, refresh_token))
    }

    /// A request to end the grant behind `tokens`; `None` if there is no way. Its answer goes to
    /// [`process_revocation`](Self::process_revocation).
    ///
    /// At GitHub it is about the access token alone: the user's authorization of the app stays, and so do other sessions.
    #[must_use]
    pub fn revocation_request(
        &self,
        client: &ClientAuthentication,
        tokens: RevokedTokens<'_>,
    ) -> Option<Request<Bytes>> {
        Some((self.vendor.revocation)(self.endpoints.revocation.as_ref()?, client, tokens))
    }

    /// Whether to end one grant there ends others of the same user with the same app: at Google, and at Keycloak in
    /// releases before 2025.
    #[must_use]
    pub const fn revocation_ends_other_logins(&self) -> bool {
        self.vendor.revocation_ends_other_logins
    }

    /// Whether the tokens are of no use any more, by the answer to a [`revocation_request`](Self::revocation_request): also if they
    /// were not before.
    ///
    /// # Errors
    /// [`ProtocolError`] if nobody can tell. The tokens may still be good.
    pub fn process_revocation(&self, response: &Response<Bytes>) -> Result<(), ProtocolError> {
        if self.vendor.revoked_already.contains(&response.status()) {
            return Ok(());
        }
        revocation::process(response)
    }
}

/// The URL made of `base` and `path`.
pub(super) fn url(base: &str, path: &str) -> Result<Uri, InvalidUri> {
    let text = format!("{base}{path}");
    text.parse().map_err(|_| InvalidUri::NotAbsolute(text))
}
