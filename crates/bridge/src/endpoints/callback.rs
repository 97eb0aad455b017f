//! The callback endpoint: the provider sends the browser back here.

use axum::extract::{Request, State};
use http::{HeaderMap, Uri, request::Parts};
use portcullis_oauth::providers::AuthorizationResponse;

use super::{
    detached,
    to_user::{redirect, tell, tell_client},
};
use crate::{
    Bridge,
    answer::Answer,
    inner::Inner,
    login::{CompletedLogin, Login, Problem, cookie_name},
    oauth_error::{ErrorCode, OAuthError},
    session::SecretHash,
    telemetry::LoginOutcome,
    urls,
};

/// More than any provider sends: codes of some are long.
const MAX_QUERY: usize = 16 * 1024;

/// `GET /callback`. [RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)
///
/// What is not of a login that was begun in this very browser is shown to the user, and changes nothing: a stolen `state` does not spoil
/// the login that it is of, and a stolen answer of the provider logs nobody in.
pub(crate) async fn callback(State(bridge): State<Bridge>, request: Request) -> Answer {
    let inner = bridge.inner();
    let (head, _) = request.into_parts();
    let answer = arrive(&bridge, &head).await;
    answer.unwrap_or_else(|problem| tell(inner, problem))
}

async fn arrive(bridge: &Bridge, head: &Parts) -> Result<Answer, Problem> {
    let inner = bridge.inner();
    let response = response(&head.uri)?;
    let name = cookie_name(response.state());
    let login = take(inner, &head.headers, &name, &response).await?;
    inner.limits.refund_login(&inner.limits.caller(&head.headers, &head.extensions), &login.request.client_id);
    let mut answer = finish(bridge, login, response).await;
    inner.cookies.clear(answer.headers_mut(), &name);
    Ok(answer)
}

fn response(uri: &Uri) -> Result<AuthorizationResponse, OAuthError> {
    let query = uri.query().unwrap_or_default();
    if query.len() > MAX_QUERY {
        return Err(OAuthError::invalid_request("the answer of the identity provider is too long"));
    }
    AuthorizationResponse::parse(query)
        .map_err(|_| OAuthError::invalid_request("this is no answer of an identity provider"))
}

/// The login that the response is for, once, and only in the browser that was sent away for it.
async fn take(
    inner: &Inner,
    headers: &HeaderMap,
    cookie: &str,
    response: &AuthorizationResponse,
) -> Result<Login, OAuthError> {
    let unknown = || {
        inner.telemetry.login(LoginOutcome::Foreign);
        tracing::info!("a response of the provider is for no login of this browser");
        OAuthError::invalid_request(
            "no login is waiting for this answer in this browser: it took too long, or was finished",
        )
    };
    let found = inner.logins.find(response.state()).await?.ok_or_else(unknown)?;
    let shown = inner.cookies.find(headers, cookie).map(|cookie| SecretHash::of_text(&cookie));
    if shown != Some(found.value.cookie) {
        return Err(unknown());
    }
    inner.logins.take(response.state(), found).await?.ok_or_else(unknown)
}

/// The provider's code is used up now: what comes of it is kept, whether the browser waits or not.
async fn finish(bridge: &Bridge, login: Login, response: AuthorizationResponse) -> Answer {
    let inner = bridge.inner();
    let request = login.request.clone();
    let arrival = {
        let own = bridge.clone();
        detached(bridge, async move { CompletedLogin::of(own.inner(), &login, response).await }).await
    };
    inner.telemetry.login(outcome(&arrival));
    match arrival {
        Ok(CompletedLogin::Code(code)) => redirect(&request.target.with_code(&code, &inner.config.issuer)),
        // They see the consent page, whatever is remembered.
        Ok(CompletedLogin::OtherUser) => redirect(&format!("{}?{}", inner.urls.url(urls::AUTHORIZE), request.query())),
        Err(error) => tell_client(inner, &error, &request.target),
    }
}

const fn outcome(arrival: &Result<CompletedLogin, OAuthError>) -> LoginOutcome {
    match arrival {
        Ok(CompletedLogin::Code(_)) => LoginOutcome::Completed,
        Ok(CompletedLogin::OtherUser) => LoginOutcome::Denied,
        Err(OAuthError { code: ErrorCode::AccessDenied, .. }) => LoginOutcome::Refused,
        Err(_) => LoginOutcome::Failed,
    }
}
