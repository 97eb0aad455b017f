//! [`Vendor`]: which vendor an identity provider imitates; [`Dialect`]: the messages of one; [`ErrorClass`]: the meaning of an error.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Map, Value};

use super::{
    Endpoint, Fault, GrantedTokens, IdentityProvider, Parameters, Refusal, State, TokenPolicy, atlassian::Atlassian,
    github::GitHub, google::Google, keycloak::Keycloak, refused_token, salesforce::Salesforce, standard,
    token_endpoint,
};

/// The messages of a vendor, where they differ from the standards.
pub(crate) trait Dialect: Send + Sync {
    /// Which endpoints there are, and their paths below the issuer. `{}` stands for any one segment.
    fn paths(&self) -> &'static [(Endpoint, &'static str)];

    /// The path of the issuer on its server.
    fn issuer_path(&self) -> &'static str {
        ""
    }

    fn token_policy(&self) -> TokenPolicy {
        TokenPolicy::new()
    }

    /// What access and refresh tokens begin with.
    fn prefixes(&self, _policy: &TokenPolicy) -> (&'static str, &'static str) {
        ("o_", "r_")
    }

    /// Whether a grant of `scope` comes with a refresh token.
    fn gives_refresh_token(&self, _scope: &str) -> bool {
        true
    }

    /// What an authorization request must have besides.
    fn required_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether an authorization request is one for refresh tokens too. `has_consented`: this user was asked before.
    fn is_offline(&self, _request: &Parameters, _has_consented: bool) -> bool {
        true
    }

    /// Whether an authorization response says whose it is, [RFC 9207](https://www.rfc-editor.org/rfc/rfc9207).
    fn sends_issuer(&self) -> bool {
        true
    }

    /// What an authorization response says besides.
    fn response_parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn issues_id_tokens(&self) -> bool {
        true
    }

    /// The `sub` of a user.
    fn subject(&self, _base: &str, profile: &Map<String, Value>) -> Value {
        profile.get("sub").cloned().unwrap_or_default()
    }

    /// What an access token says about its user besides.
    fn claims(&self, _profile: &Map<String, Value>) -> Map<String, Value> {
        Map::new()
    }

    fn method(&self, endpoint: Endpoint) -> Method {
        if endpoint.is_posted() { Method::POST } else { Method::GET }
    }

    /// Which endpoint a request is for, where two have one path.
    fn meant(&self, endpoint: Endpoint, _method: &Method) -> Endpoint {
        endpoint
    }

    /// Returns the response to a request that is rejected before it is processed.
    fn turned_away(&self, _endpoint: Endpoint, _request: &Request<Bytes>) -> Option<Response<Bytes>> {
        None
    }

    /// The parameters of a request to the token endpoint.
    fn parameters(&self, request: &Request<Bytes>) -> Result<Parameters, Refusal> {
        token_endpoint::form(request)
    }

    fn granted(&self, _base: &str, tokens: &GrantedTokens, _request: &Request<Bytes>) -> Response<Bytes> {
        standard::granted(tokens)
    }

    fn refused(&self, refusal: Refusal, _request: &Request<Bytes>) -> Response<Bytes> {
        standard::refused(refusal)
    }

    fn revocation(&self, state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
        token_endpoint::revocation(state, request)
    }

    /// Whether to revoke an access token leaves the rest of its grant as it is.
    fn access_tokens_end_alone(&self) -> bool {
        false
    }

    /// Returns the response of a user's endpoint to a valid token.
    fn resource(&self, visit: &Visit<'_>) -> Response<Bytes>;

    /// Returns the response of a user's endpoint without a token.
    fn token_missing(&self, endpoint: Endpoint) -> Response<Bytes> {
        self.token_dead(endpoint)
    }

    /// Returns the response of a user's endpoint to a token that is not valid.
    fn token_dead(&self, _endpoint: Endpoint) -> Response<Bytes> {
        refused_token("invalid_token")
    }

    /// An error of this class.
    fn error(&self, class: ErrorClass) -> Response<Bytes> {
        let request = Request::new(Bytes::new());
        match class {
            ErrorClass::AccessTokenDead => self.token_dead(Endpoint::UserInfo),
            ErrorClass::Forbidden => self.forbidden(),
            ErrorClass::RefreshTokenDead => self.refused(Refusal::RefreshTokenExpired, &request),
            ErrorClass::ClientRefused => self.refused(Refusal::WrongSecret, &request),
            ErrorClass::RateLimited => self.rate_limited(),
        }
    }

    /// Returns the response to a token that is valid but not sufficient.
    fn forbidden(&self) -> Response<Bytes>;

    fn rate_limited(&self) -> Response<Bytes> {
        standard::rate_limited()
    }
}

/// A call with a valid token.
pub(crate) struct Visit<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) base: &'a str,
    pub(crate) claims: &'a Map<String, Value>,
    pub(crate) profile: &'a Map<String, Value>,
}

impl Visit<'_> {
    /// A member of the profile.
    pub(super) fn member(&self, name: &str) -> Value {
        self.profile.get(name).cloned().unwrap_or_default()
    }

    /// A member of the profile that is a text.
    pub(super) fn text(&self, name: &str) -> &str {
        self.profile.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn scopes(&self) -> Vec<&str> {
        let scope = self.claims.get("scope").and_then(Value::as_str).unwrap_or_default();
        scope.split_whitespace().collect()
    }
}

/// The meaning of an error of a vendor, in any form; see [`Vendor::fault`](crate::Vendor::fault).
///
/// An outage looks the same everywhere: [`Fault::status`](crate::Fault::status), [`Fault::hang`](crate::Fault::hang),
/// [`Fault::disconnect`](crate::Fault::disconnect).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The access token is not valid. From UserInfo.
    AccessTokenDead,
    /// The token is valid, but not sufficient: another login does not help. From UserInfo.
    Forbidden,
    /// The refresh token is not valid. From the token endpoint.
    RefreshTokenDead,
    /// The client's credentials are not valid. From the token endpoint.
    ClientRefused,
    /// The client must retry later. From any endpoint.
    RateLimited,
}

impl ErrorClass {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AccessTokenDead, Self::Forbidden, Self::RefreshTokenDead, Self::ClientRefused, Self::RateLimited];
}

/// The vendor whose messages, paths and policies an identity provider imitates: see [`IdentityProvider::of`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Vendor {
    /// A realm `test`. Access tokens are JWTs with the roles of the user (`realm_access` of the profile); refresh tokens may be
    /// used again, as long as "Revoke Refresh Token" is off.
    Keycloak,
    /// No rotation; a refresh does not name the refresh token.
    Google,
    /// A GitHub App: refresh tokens are good once, and a refresh kills the access token. With a policy
    /// [`without_refresh_tokens`](TokenPolicy::without_refresh_tokens) an OAuth App, whose tokens do not expire.
    GitHub,
    /// JSON at the token endpoint; rotation with a leeway of ten minutes; a refresh token only for `offline_access`.
    Atlassian,
    /// No response says how long a token lives; introspection does.
    Salesforce,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Keycloak, Self::Google, Self::GitHub, Self::Atlassian, Self::Salesforce];

    /// Returns the default token policy of the vendor.
    pub fn token_policy(self) -> TokenPolicy {
        self.dialect().token_policy()
    }

    /// Returns an error of this class in the form of this vendor: for [`IdentityProvider::set_fault`].
    ///
    /// Most come by themselves too: revoke a token, present one that is used up, send a wrong secret.
    #[must_use]
    pub fn fault(self, class: ErrorClass) -> Fault {
        Fault::answer(self.dialect().error(class))
    }

    fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Keycloak => &Keycloak,
            Self::Google => &Google,
            Self::GitHub => &GitHub,
            Self::Atlassian => &Atlassian,
            Self::Salesforce => &Salesforce,
        }
    }
}

impl IdentityProvider {
    /// Creates a provider with the paths, messages and policies of `vendor`.
    /// Endpoints that are on several hosts in reality are on one here: [`endpoint_url`](Self::endpoint_url) says where.
    ///
    /// ```
    /// use portcullis_testkit::{Endpoint, IdentityProvider, Vendor};
    ///
    /// let provider = IdentityProvider::of(Vendor::Atlassian);
    /// assert_eq!(provider.endpoint_url(Endpoint::Token), "https://idp.example.test/oauth/token");
    /// ```
    #[must_use]
    pub fn of(vendor: Vendor) -> Self {
        let provider = Self::new();
        {
            let mut state = provider.state();
            state.dialect = vendor.dialect();
            state.policy = vendor.token_policy();
            state.issuer.push_str(vendor.dialect().issuer_path());
        }
        provider
    }
}
