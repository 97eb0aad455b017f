//! [`Provider`]: an authorization server at which users log in.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::Uri;
use portcullis_core::{InvalidUri, Issuer};

use super::vendor::{Endpoints, ErrorMeaning, ErrorRule, ProfileSource, Rotation, Vendor};
use crate::id_token::IdTokenPolicy;

/// An authorization server at which users log in: its endpoints, and how its vendor writes and reads the messages of OAuth.
///
/// It sends nothing and holds no secret. Constructors: [`oidc`](Self::oidc), [`keycloak`](Self::keycloak), [`google`](Self::google),
/// [`github`](Self::github), [`atlassian`](Self::atlassian), [`salesforce`](Self::salesforce),
/// [`of_vendor`](Self::of_vendor) and
/// [`ReadyMade::provider`](super::ReadyMade::provider). Each endpoint can be replaced.
///
/// It does **not** check that its endpoints belong to its issuer: the configuration vouches for that.
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
    pub(super) vendor: Arc<Vendor>,
    pub(super) issuer: Issuer,
    pub(super) endpoints: Endpoints,
    advertises_issuer: bool,
}

impl Provider {
    /// Creates a provider of `vendor`, whose users are those of `issuer`.
    #[must_use]
    pub fn of_vendor(vendor: Vendor, issuer: Issuer, endpoints: Endpoints) -> Self {
        Self { vendor: Arc::new(vendor), issuer, endpoints, advertises_issuer: false }
    }

    /// Changes what the vendor does differently from the standards.
    #[must_use]
    pub fn with_vendor(mut self, change: impl FnOnce(&mut Vendor)) -> Self {
        change(Arc::make_mut(&mut self.vendor));
        self
    }

    /// Returns what the vendor does differently from the standards.
    #[must_use]
    pub fn vendor(&self) -> &Vendor {
        &self.vendor
    }

    /// Returns the name of the vendor, for metric labels and logs: such as `oidc`, `github` or `oauth2`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.vendor.name
    }

    /// Returns the name for pages that users see: the vendor's brand (`GitHub`), else the host of the issuer.
    ///
    /// ```
    /// use portcullis_oauth::providers::Provider;
    ///
    /// assert_eq!(Provider::github().display_name(), "GitHub");
    /// assert_eq!(Provider::keycloak("https://sso.example.com", "staff")?.display_name(), "sso.example.com");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn display_name(&self) -> Cow<'_, str> {
        let host = || url::Url::parse(self.issuer.as_str()).ok()?.host_str().map(str::to_owned);
        match &self.vendor.display_name {
            Some(brand) => Cow::Borrowed(brand),
            None => host().map_or_else(|| self.issuer.as_str().into(), Cow::Owned),
        }
    }

    /// Returns the issuer, which identifies the authorization server and scopes the names of its users.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Replaces the issuer, which is compared as a string.
    ///
    /// For a server that is reached under another URL than its tokens name, such as a Keycloak behind a proxy, and for test doubles.
    #[must_use]
    pub fn with_issuer(mut self, issuer: Issuer) -> Self {
        self.issuer = issuer;
        self
    }

    /// Replaces the authorization endpoint.
    #[must_use]
    pub fn with_authorization_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.authorization = endpoint;
        self
    }

    /// Replaces the token endpoint.
    #[must_use]
    pub fn with_token_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.token = endpoint;
        self
    }

    /// Sets the endpoint for refreshes. Default: the token endpoint.
    #[must_use]
    pub fn with_refresh_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.refresh = Some(endpoint);
        self
    }

    /// Sets the endpoint for profiles. Supplements of a profile (GitHub's e-mail addresses, Atlassian's sites) are requested relative
    /// to it.
    #[must_use]
    pub fn with_userinfo_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.userinfo = Some(endpoint);
        self
    }

    /// Sets the introspection endpoint.
    #[must_use]
    pub fn with_introspection_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.introspection = Some(endpoint);
        self
    }

    /// Sets the revocation endpoint. For GitHub, the URL of its collection of applications.
    #[must_use]
    pub fn with_revocation_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.revocation = Some(endpoint);
        self
    }

    /// Sets the endpoint for [token checks](Self::token_check_request), for this one client. Default: where the vendor has one, derived
    /// from the client ID (`https://api.github.com/applications/{client_id}/token`).
    #[must_use]
    pub fn with_token_check_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoints.token_check = Some(endpoint);
        self
    }

    /// Sets the URL of the keys that sign its ID tokens.
    #[must_use]
    pub fn with_jwks_uri(mut self, jwks_uri: Uri) -> Self {
        self.endpoints.keys = Some(jwks_uri);
        self
    }

    /// States that every authorization response names its issuer (`iss`), so that a response without it is rejected. Default: what the
    /// metadata says (`authorization_response_iss_parameter_supported`), else not stated.
    ///
    /// [RFC 9207 section 3](https://www.rfc-editor.org/rfc/rfc9207#section-3)
    #[must_use]
    pub const fn with_advertised_issuer(mut self) -> Self {
        self.advertises_issuer = true;
        self
    }

    /// Ignores ID tokens: the profile alone identifies the user, as at GitHub. Default: what the vendor does.
    ///
    /// For a server that issues no ID token although `openid` is requested, or whose keys cannot be fetched. Without ID tokens, PKCE
    /// alone binds a login to the browser in which it began.
    #[must_use]
    pub fn without_id_tokens(self) -> Self {
        self.with_vendor(|vendor| vendor.id_tokens = false)
    }

    /// Sets what the provider does when a refresh token is presented twice. Default: the vendor's behaviour; where that depends on a
    /// setting, the worst case: [`Rotation::SingleUse`].
    #[must_use]
    pub fn with_rotation(self, rotation: Rotation) -> Self {
        self.with_vendor(|vendor| vendor.rotation = rotation)
    }

    /// Treats a response of the token endpoint that contains one of `errors` as the end of the grant, at once. Default: the errors that
    /// the standard and the vendor define.
    ///
    /// For a server with error codes of its own, such as `BAD_REFRESH_TOKEN`. Each is compared, as a string, with the members `error`,
    /// `error_code`, `code` and `status` of a JSON response, and with `code`, `status` and `type` of an object `error`. A response about
    /// this server's credentials, or about a failure of the provider, ends no grant: neither `invalid_client` nor
    /// `temporarily_unavailable` does, nor any response with the status 408, 425, 429 or 5xx.
    #[must_use]
    pub fn with_dead_grant_errors<'a>(self, errors: impl IntoIterator<Item = &'a str>) -> Self {
        let rules = errors.into_iter().map(|error| ErrorRule::new(error.to_owned(), ErrorMeaning::Grant));
        self.with_vendor(|vendor| vendor.errors.extend(rules))
    }

    /// Sets the lifetime of access tokens for which neither the token response nor the token nor introspection states one. Default: two
    /// hours for Salesforce, else unknown: then only a rejection shows that a token has expired.
    #[must_use]
    pub fn with_default_lifetime(self, lifetime: Duration) -> Self {
        self.with_vendor(|vendor| vendor.default_lifetime = Some(lifetime))
    }

    /// Returns the token endpoint.
    #[must_use]
    pub const fn token_endpoint(&self) -> &Uri {
        &self.endpoints.token
    }

    /// Returns the URL of the keys that sign its ID tokens; `None` if the metadata has to be read for it.
    #[must_use]
    pub const fn jwks_uri(&self) -> Option<&Uri> {
        self.endpoints.keys.as_ref()
    }

    /// Returns what the provider does when a refresh token is presented twice.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        self.vendor.rotation
    }

    /// Reports whether a refresh ends the previous access token, so that tokens must not be refreshed ahead of time.
    #[must_use]
    pub fn ends_access_token_on_refresh(&self) -> bool {
        self.vendor.refresh_ends_access_token
    }

    /// Returns the lifetime of access tokens for which nothing else states one.
    #[must_use]
    pub fn default_lifetime(&self) -> Option<Duration> {
        self.vendor.default_lifetime
    }

    /// Reports whether a login with the scope `openid` must return an ID token. GitHub and Atlassian issue none.
    #[must_use]
    pub fn issues_id_tokens(&self) -> bool {
        self.vendor.id_tokens
    }

    /// Returns the policy for ID tokens for the client `client_id`; `None` if the provider issues none.
    #[must_use]
    pub fn id_token_policy(&self, client_id: &str) -> Option<IdTokenPolicy> {
        let policy = self.issues_id_tokens().then(|| IdTokenPolicy::new(self.issuer.clone(), client_id))?;
        Some(self.vendor.issuer_alias.as_deref().into_iter().fold(policy, IdTokenPolicy::with_issuer_alias))
    }

    /// Reports whether the profile is requested with each access token. Else it is that of the login, in an ID token or the token response.
    #[must_use]
    pub fn has_profile_endpoint(&self) -> bool {
        self.vendor.profile == ProfileSource::UserInfo
    }

    /// Reports whether every authorization response names its issuer.
    #[must_use]
    pub const fn advertises_issuer(&self) -> bool {
        self.advertises_issuer
    }

    /// Reports whether `issuer` is one of the provider's names, compared as strings.
    pub(super) fn is_named(&self, issuer: &str) -> bool {
        issuer == self.issuer.as_str() || self.vendor.issuer_alias.as_deref() == Some(issuer)
    }
}

/// Returns the URL made of `base` and `path`.
pub(super) fn url(base: &str, path: &str) -> Result<Uri, InvalidUri> {
    let text = format!("{base}{path}");
    text.parse().map_err(|_| InvalidUri::NotAbsolute(text))
}
