//! The authorization endpoint: the request, the login page, and the redirect to the client; and [`LoginPolicy`], which a test sets.

use std::fmt;

use askama::Template;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, LOCATION, SET_COOKIE, X_FRAME_OPTIONS},
};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::{
    IdentityProvider,
    grants::{Consent, random},
    messages::{body, empty},
    state::State,
    token_endpoint::Parameters,
};

/// The cookie of single sign-on.
const SESSION: &str = "idp_session";

/// Returns the login page, or the redirect to the client.
pub(crate) fn authorize(provider: &IdentityProvider, request: &Request<Bytes>) -> Response<Bytes> {
    let outcome = process(&mut provider.state(), request);
    let mut response = match outcome {
        Outcome::Page(response) => response,
        Outcome::Back { response, session } => redirect(&provider.forged_callback(response), session.as_deref()),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

enum Outcome {
    Page(Response<Bytes>),
    /// The redirect to the client, with the cookie of the session.
    Back {
        response: AuthorizationResponse,
        session: Option<String>,
    },
}

fn process(state: &mut State, request: &Request<Bytes>) -> Outcome {
    let asked = match AuthorizationRequest::parse(state, request.uri()) {
        Ok(asked) => asked,
        Err(reason) => return Outcome::Page(refusal_page(reason)),
    };
    let user = match asked.check(state).map_err(str::to_owned).and_then(|()| user(state, &asked, request)) {
        Ok(Some(user)) => user,
        Ok(None) => return Outcome::Page(login_page(state, &asked)),
        Err(error) => return Outcome::Back { response: answer(state, &asked, "error", &error), session: None },
    };
    let code = code(state, &asked, &user);
    let session = state.login_policy.single_sign_on.then(|| {
        let session = random("s_");
        state.sessions.insert(session.clone(), user);
        cookie(state, &session)
    });
    Outcome::Back { response: answer(state, &asked, "code", &code), session }
}

/// Returns the user if no page is needed to find out; or the error.
fn user(state: &State, asked: &AuthorizationRequest, request: &Request<Bytes>) -> Result<Option<String>, String> {
    let policy = &state.login_policy;
    if let Some(error) = &policy.denial {
        return Err(error.clone());
    }
    if request.method() == Method::POST {
        return picked(request.body());
    }
    let hint = policy.auto_login.as_deref().or_else(|| asked.parameter("login_hint"));
    let remembered = || {
        let wanted = policy.single_sign_on && !asked.prompts(&["login", "select_account", "consent"]);
        wanted.then(|| state.sessions.get(session_of(request.headers())?)).flatten()
    };
    match hint.map(str::to_owned).or_else(|| remembered().cloned()) {
        None if asked.prompts(&["none"]) => Err("login_required".to_owned()),
        user => Ok(user),
    }
}

/// Returns the user who was chosen on the page.
fn picked(form: &[u8]) -> Result<Option<String>, String> {
    let user = form_urlencoded::parse(form).find_map(|(name, value)| (name == "user").then(|| value.into_owned()));
    user.filter(|user| !user.is_empty()).map(Some).ok_or_else(|| "access_denied".to_owned())
}

fn code(state: &mut State, asked: &AuthorizationRequest, subject: &str) -> String {
    let consent = Consent {
        client_id: &asked.client_id,
        subject,
        scope: asked.parameter("scope").unwrap_or_default(),
        redirect_uri: &asked.redirect_uri,
        code_challenge: asked.parameter("code_challenge"),
        nonce: asked.parameter("nonce"),
    };
    let has_consented = state.has_consented_offline(&asked.client_id, subject);
    let is_offline = state.dialect.is_offline(&asked.parameters, has_consented);
    state.issue_code(&consent, is_offline)
}

/// [RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2), with the issuer of RFC 9207.
fn answer(state: &State, asked: &AuthorizationRequest, name: &str, value: &str) -> AuthorizationResponse {
    let mut response = AuthorizationResponse::new(asked.redirect_uri.clone()).with(name, value);
    if let Some(echo) = asked.parameter("state") {
        response = response.with("state", echo);
    }
    if state.sends_issuer() {
        response = response.with("iss", &state.issuer);
    }
    let further = state.dialect.response_parameters().iter().filter(|_| name == "code");
    further.fold(response, |response, (name, value)| response.with(name, value))
}

fn redirect(response: &AuthorizationResponse, session: Option<&str>) -> Response<Bytes> {
    let Ok(location) = HeaderValue::try_from(response.location()) else {
        return refusal_page("The redirect_uri is no URI.");
    };
    let mut redirect = empty(StatusCode::SEE_OTHER);
    redirect.headers_mut().insert(LOCATION, location);
    if let Some(session) = session.and_then(|session| HeaderValue::try_from(session).ok()) {
        redirect.headers_mut().insert(SET_COOKIE, session);
    }
    redirect
}

fn cookie(state: &State, session: &str) -> String {
    let secure = if state.issuer.starts_with("https:") { "; Secure" } else { "" };
    format!("{SESSION}={session}; Path=/; HttpOnly; SameSite=Lax{secure}")
}

fn session_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == SESSION).then_some(value))
}

/// An authorization request, [RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1), with a client and a
/// redirect URI, so that an error can be reported to the client.
struct AuthorizationRequest {
    client_id: String,
    redirect_uri: String,
    parameters: Parameters,
}

impl AuthorizationRequest {
    /// Parses the query; an error is the text of a page.
    fn parse(state: &State, uri: &Uri) -> Result<Self, &'static str> {
        let mut parameters = Parameters::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned() {
            if parameters.insert(name, value).is_some() {
                return Err("A parameter comes twice.");
            }
        }
        let client_id = parameters.get("client_id").cloned().ok_or("The client_id is missing.")?;
        let redirect_uri = parameters.get("redirect_uri").cloned().ok_or("The redirect_uri is missing.")?;
        if Url::parse(&redirect_uri).is_err() {
            return Err("The redirect_uri is no URI.");
        }
        match state.redirect_uris.get(&client_id) {
            Some(registered) if !registered.contains(&redirect_uri) => Err("The redirect_uri is not registered."),
            _ => Ok(Self { client_id, redirect_uri, parameters }),
        }
    }

    /// Checks the other parameters; an error is the one of the authorization response.
    fn check(&self, state: &State) -> Result<(), &'static str> {
        if self.parameter("response_type") != Some("code") {
            return Err("unsupported_response_type");
        }
        let has_challenge = self.parameter("code_challenge").is_some();
        if has_challenge && self.parameter("code_challenge_method") != Some("S256") {
            return Err("invalid_request");
        }
        let required = state.dialect.required_parameters();
        if required.iter().any(|name| self.parameter(name).is_none()) {
            return Err("invalid_request");
        }
        Ok(())
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Reports whether `prompt` has one of `values`.
    fn prompts(&self, values: &[&str]) -> bool {
        self.parameter("prompt").is_some_and(|prompt| prompt.split(' ').any(|one| values.contains(&one)))
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    /// The reason why there is no login.
    refusal: Option<&'a str>,
    destination: String,
    users: Vec<User<'a>>,
}

struct User<'a> {
    subject: &'a str,
    name: &'a str,
    email: &'a str,
}

/// Renders the login page.
fn login_page(state: &State, asked: &AuthorizationRequest) -> Response<Bytes> {
    let destination = Url::parse(&asked.redirect_uri).ok().and_then(|url| url.host_str().map(str::to_owned));
    let destination = destination.unwrap_or_else(|| asked.client_id.clone());
    let users = state.users.iter().map(|(subject, profile)| User::of(subject, profile)).collect();
    html(StatusCode::OK, &Page { refusal: None, destination, users })
}

/// Renders the page for a request that has no valid redirect URI.
fn refusal_page(reason: &str) -> Response<Bytes> {
    html(StatusCode::BAD_REQUEST, &Page { refusal: Some(reason), destination: String::new(), users: Vec::new() })
}

impl<'a> User<'a> {
    fn of(subject: &'a str, profile: &'a Map<String, Value>) -> Self {
        let text = |name: &str| profile.get(name).and_then(Value::as_str);
        Self { subject, name: text("name").unwrap_or(subject), email: text("email").unwrap_or_default() }
    }
}

fn html(status: StatusCode, page: &Page<'_>) -> Response<Bytes> {
    let text = page.render().expect("a template writes to memory");
    let mut response = body(status, "text/html; charset=utf-8", text);
    // No `form-action`: it would apply to the redirect to the client as well.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response.headers_mut().insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// The policy that decides when a user sees the login page.
///
/// By default each login shows the page, unless the request has a `login_hint`: then that user is logged in.
///
/// ```
/// use portcullis_testkit::{IdentityProvider, LoginPolicy};
///
/// let provider = IdentityProvider::new();
/// provider.set_login_policy(LoginPolicy::new().with_single_sign_on());
/// provider.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
/// provider.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct LoginPolicy {
    pub(super) single_sign_on: bool,
    pub(super) auto_login: Option<String>,
    pub(super) denial: Option<String>,
    pub(super) sends_issuer: bool,
}

impl LoginPolicy {
    /// Creates the policy that shows the page at each login.
    pub const fn new() -> Self {
        Self { single_sign_on: false, auto_login: None, denial: None, sends_issuer: true }
    }

    /// Recognizes a browser that has logged in by a cookie and shows no page again, unless the request says `prompt=login`,
    /// `prompt=select_account` or `prompt=consent`.
    pub const fn with_single_sign_on(mut self) -> Self {
        self.single_sign_on = true;
        self
    }

    /// Logs each browser in as `subject`, without a page.
    pub fn with_auto_login(mut self, subject: &str) -> Self {
        self.auto_login = Some(subject.to_owned());
        self
    }

    /// Redirects each browser back to the client with `error`, such as `access_denied`.
    pub fn with_denial(mut self, error: &str) -> Self {
        self.denial = Some(error.to_owned());
        self
    }

    /// Omits `iss` from the authorization response and from the metadata
    /// ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)).
    pub const fn without_issuer_parameter(mut self) -> Self {
        self.sends_issuer = false;
        self
    }
}

impl Default for LoginPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl IdentityProvider {
    /// Sets the policy. Users who are logged in remain logged in.
    pub fn set_login_policy(&self, policy: LoginPolicy) {
        self.state().login_policy = policy;
    }
}

/// An authorization response, [RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2): for
/// [`IdentityProvider::forge_callbacks`](crate::IdentityProvider::forge_callbacks). `Debug` prints the names only.
#[derive(Clone)]
#[must_use]
pub struct AuthorizationResponse {
    redirect_uri: String,
    parameters: Vec<(String, String)>,
}

impl AuthorizationResponse {
    pub(super) fn new(redirect_uri: String) -> Self {
        Self { redirect_uri, parameters: Vec::new() }
    }

    /// Sets this parameter, in place of those of its name.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).with_another(name, value)
    }

    /// Adds this parameter, also if there is one of its name.
    pub fn with_another(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes the parameters of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| known != name);
        self
    }

    /// Returns the URL to which the browser is redirected.
    pub(super) fn location(&self) -> String {
        let separator = if self.redirect_uri.contains('?') { '&' } else { '?' };
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.parameters).finish();
        format!("{}{separator}{query}", self.redirect_uri)
    }
}

impl fmt::Debug for AuthorizationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationResponse")
            .field("redirect_uri", &self.redirect_uri)
            .field("parameters", &self.parameters.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}
