//! The authorization endpoint: a client sends a browser here.

use axum::extract::{Request, State};
use http::{Uri, request::Parts};

use super::to_user::{redirect, tell};
use crate::{
    Bridge, Client,
    answer::Answer,
    inner::Inner,
    login::{
        ApprovedRequest, AuthorizationRequest, Browser, ClientFingerprint, ConsentForm, Problem, ProviderRedirect,
    },
    oauth_error::OAuthError,
    parameters::Parameters,
};

/// More than a request needs: a `state` of 2 KiB, a redirect URI of as much, and as many resources as there are.
const MAX_QUERY: usize = 16 * 1024;

/// `GET /authorize`. [RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1)
///
/// Nothing is stored and nobody is sent to the provider before the user has consented, now or earlier.
pub(crate) async fn authorize(State(bridge): State<Bridge>, request: Request) -> Answer {
    let inner = bridge.inner();
    let (head, _) = request.into_parts();
    let answer = begin(inner, &head).await;
    answer.unwrap_or_else(|problem| tell(inner, problem))
}

async fn begin(inner: &Inner, head: &Parts) -> Result<Answer, Problem> {
    let parameters = parameters(&head.uri)?;
    let caller = inner.limits.caller(&head.headers, &head.extensions);
    let (client, request) = AuthorizationRequest::validate(&parameters, &inner.clients, &inner.config, &caller).await?;
    match Browser::of(&head.headers, inner.cookies) {
        Some(browser) if !request.asks_for_consent => go_on_or_ask(inner, head, &client, request, browser).await,
        browser => Ok(ask(inner, &client, request, &browser.unwrap_or_else(Browser::new))),
    }
}

fn parameters(uri: &Uri) -> Result<Parameters, OAuthError> {
    let query = uri.query().unwrap_or_default();
    if query.len() > MAX_QUERY {
        return Err(OAuthError::invalid_request("the request is too long"));
    }
    Parameters::parse(query.as_bytes())
}

/// The user is not asked again for what was allowed in this browser: they go on to the provider.
async fn go_on_or_ask(
    inner: &Inner,
    head: &Parts,
    client: &Client,
    request: AuthorizationRequest,
    browser: Browser,
) -> Result<Answer, Problem> {
    let consent = inner.consents.find(browser.hash(), client, &request).await.map_err(OAuthError::from)?;
    let Some(consent) = consent else { return Ok(ask(inner, client, request, &browser)) };
    let user = Some(consent.user);
    let departure =
        ProviderRedirect::prepare(inner, head, ApprovedRequest { client, request, browser: browser.hash(), user })
            .await?;
    let mut answer = redirect(&departure.url);
    departure.mark(head, answer.headers_mut(), inner);
    Ok(answer)
}

/// The consent page, whose form fits this browser alone.
fn ask(inner: &Inner, client: &Client, request: AuthorizationRequest, browser: &Browser) -> Answer {
    let form = ConsentForm {
        client: ClientFingerprint::of(client),
        browser: browser.hash(),
        shown_at: inner.clock.now().as_secs(),
        request,
    };
    let mut answer = inner.pages.consent(client, &form.request, &form.seal(&inner.records));
    browser.remember(answer.headers_mut(), inner.cookies, inner.config.consent_ttl);
    answer
}
