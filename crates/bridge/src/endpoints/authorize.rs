//! The authorization endpoint.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::HeaderMap;

use crate::{
    BridgeConfig, Client,
    clients::Clients,
    extract::OAuthQuery,
    limits::Caller,
    login::{ApprovedRequest, AuthorizationRequest, AuthorizeError, Browser, Consents, Cookies, ProviderRedirects},
    oauth_error::OAuthError,
    pages::Pages,
    response::redirect,
};

/// `GET /authorize`. [RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1)
///
/// Nothing is stored, and the provider is not involved, before the user has consented, now or earlier.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn authorize(
    State(config): State<Arc<BridgeConfig>>,
    State(clients): State<Arc<Clients>>,
    State(cookies): State<Cookies>,
    State(consents): State<Arc<Consents>>,
    State(redirects): State<Arc<ProviderRedirects>>,
    State(pages): State<Arc<Pages>>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<OAuthQuery, OAuthError>,
) -> Result<Response, AuthorizeError> {
    let OAuthQuery(parameters) = query?;
    let (client, request) = AuthorizationRequest::validate(&parameters, &clients, &config, &caller).await?;
    let known_browser = Browser::from_headers(&headers, cookies);
    if let Some(browser) = known_browser.as_ref().filter(|_| !request.asks_for_consent) {
        let consent = consents.find(browser.hash(), &client, &request).await.map_err(OAuthError::from)?;
        if let Some(consent) = consent {
            let approved =
                ApprovedRequest { client: &client, request, browser: browser.hash(), user: Some(consent.user) };
            let start = redirects.start(&headers, &caller, approved).await?;
            let mut response = redirect(&start.url);
            start.set_cookies(response.headers_mut());
            return Ok(response);
        }
    }
    let browser = known_browser.unwrap_or_else(Browser::new);
    Ok(consent_page(&pages, &consents, cookies, &client, &request, &browser))
}

/// Creates the consent page, whose form is valid in this browser only.
fn consent_page(
    pages: &Pages,
    consents: &Consents,
    cookies: Cookies,
    client: &Client,
    request: &AuthorizationRequest,
    browser: &Browser,
) -> Response {
    let form = consents.seal_form(client, browser, request.clone());
    let mut response = pages.consent(client, request, &form);
    consents.set_browser_cookie(response.headers_mut(), browser, cookies);
    response
}
