//! What the authorization endpoint does, step by step.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE},
};
use url::form_urlencoded;

use super::{
    super::{
        IdentityProvider,
        answer::empty,
        grants::{Consent, random},
        state::State,
    },
    AuthorizationResponse, page,
    request::AuthorizationRequest,
};

/// The cookie of single sign-on.
const SESSION: &str = "idp_session";

/// The login page, or the way back to the client.
pub(in super::super) fn authorize(provider: &IdentityProvider, request: &Request<Bytes>) -> Response<Bytes> {
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
    /// Back to the client, with a cookie for the next time.
    Back {
        response: AuthorizationResponse,
        session: Option<String>,
    },
}

fn process(state: &mut State, request: &Request<Bytes>) -> Outcome {
    let asked = match AuthorizationRequest::parse(state, request.uri()) {
        Ok(asked) => asked,
        Err(reason) => return Outcome::Page(page::refusal(reason)),
    };
    let user = match asked.check(state).map_err(str::to_owned).and_then(|()| user(state, &asked, request)) {
        Ok(Some(user)) => user,
        Ok(None) => return Outcome::Page(page::login(state, &asked)),
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

/// Who it is, as far as that can be known without a page; or the error.
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

/// What was pressed on the page.
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
        return page::refusal("The redirect_uri is no URI.");
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
