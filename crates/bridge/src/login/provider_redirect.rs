//! [`ProviderRedirects`]: the redirect to the provider.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use portcullis_oauth::{CodeVerifier, providers};
use portcullis_upstream::ProviderClient;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{
    AuthorizationRequest, Cookies, PendingLogin, PendingLogins,
    consent::{ClientFingerprint, UserIdentity},
    cookies::random_text,
};
use crate::{
    BridgeConfig, Client, GrantType,
    caller::Caller,
    limits::RateLimits,
    response::OAuthError,
    session::SecretHash,
    telemetry::{LoginOutcome, Telemetry},
};

/// Redirects users to the provider. Only after consent, so that nothing of a login is stored before
/// (MCP Security Best Practices, Confused Deputy).
#[derive(Debug)]
pub(crate) struct ProviderRedirects {
    pub(crate) config: Arc<BridgeConfig>,
    pub(crate) provider: ProviderClient,
    pub(crate) pending_logins: Arc<PendingLogins>,
    pub(crate) cookies: Cookies,
    pub(crate) limits: RateLimits,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// A request that the user has approved.
pub(crate) struct ApprovedRequest<'a> {
    pub(crate) client: &'a Client,
    pub(crate) request: AuthorizationRequest,
    pub(crate) browser: SecretHash,
    /// The user of the stored consent, if the consent page was skipped.
    pub(crate) user: Option<UserIdentity>,
}

/// A redirect to the provider, and the cookies that go with it.
pub(crate) struct ProviderRedirect {
    pub(crate) url: String,
    cookies: HeaderMap,
}

/// The maximum number of concurrent logins per browser, in different tabs: the size of a request's cookies is limited.
const MAX_TABS: usize = 8;

const COOKIE_PREFIX: &str = "login-";

impl ProviderRedirects {
    /// Stores a pending login, and creates the redirect.
    ///
    /// # Errors
    /// 429 if the caller has too many pending logins; `temporarily_unavailable`.
    pub(crate) async fn start(
        &self,
        headers: &HeaderMap,
        caller: &Caller,
        approved: ApprovedRequest<'_>,
    ) -> Result<ProviderRedirect, OAuthError> {
        let ApprovedRequest { client, request, browser, user } = approved;
        self.limits.acquire_login(caller, client.id())?;
        let (state, nonce, cookie) = (random_text(), random_text(), random_text());
        let mut verifier = Zeroizing::new([0; 32]);
        rand::fill(&mut *verifier);
        let login = PendingLogin {
            client: ClientFingerprint::of(client),
            browser,
            consented: user,
            is_refreshable: client.grant_types.contains(&GrantType::RefreshToken),
            cookie: SecretHash::of_text(&cookie),
            verifier: *verifier,
            nonce: nonce.expose_secret().into(),
            request,
        };
        let stored = self.pending_logins.begin(&state, &login, caller).await;
        stored.inspect_err(|_| self.limits.refund_login(caller, client.id()))?;
        self.telemetry.login(LoginOutcome::Begun);
        let url = self.provider_url(&state, &nonce, &login.verifier());
        Ok(ProviderRedirect { url, cookies: self.cookies(headers, &state, &cookie) })
    }

    /// Sets the cookie that the browser must present at the callback, so that another browser with the same URL cannot complete the
    /// login. Deletes the cookies of the oldest tabs.
    fn cookies(&self, request: &HeaderMap, state: &SecretString, cookie: &SecretString) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let others = self.cookies.names(request, COOKIE_PREFIX);
        for abandoned in others.iter().rev().skip(MAX_TABS - 1) {
            self.cookies.clear(&mut headers, abandoned);
        }
        self.cookies.set(&mut headers, &cookie_name(state), cookie, Some(self.pending_logins.ttl()));
        headers
    }

    /// Returns the authorization URL of the provider. The client cannot influence its parameters.
    fn provider_url(&self, state: &SecretString, nonce: &SecretString, verifier: &CodeVerifier) -> String {
        let callback = self.config.callback();
        let client_id = self.provider.client_id();
        let request = providers::AuthorizationRequest::new(client_id, &callback, state.expose_secret(), verifier)
            .with_scopes(&self.config.upstream_scopes)
            .with_nonce(nonce.expose_secret());
        let parameters = self.config.upstream_parameters.iter();
        let request = parameters.fold(request, |request, (name, value)| request.with_parameter(name, value));
        self.provider.provider().authorization_url(&request)
    }
}

impl ProviderRedirect {
    /// Adds the cookies to the response `headers`.
    pub(crate) fn set_cookies(&self, headers: &mut HeaderMap) {
        for value in &self.cookies {
            headers.append(value.0, HeaderValue::clone(value.1));
        }
    }
}

/// Returns the name of a login's cookie. Each tab has its own.
pub(crate) fn cookie_name(state: &SecretString) -> String {
    let [a, b, c, d, ..] = *SecretHash::of_text(state).as_bytes();
    format!("{COOKIE_PREFIX}{a:02x}{b:02x}{c:02x}{d:02x}")
}
