//! [`ProviderRedirect`]: the user is sent to the provider.

use http::{HeaderMap, request::Parts};
use portcullis_oauth::{CodeVerifier, providers};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{
    AuthorizationRequest,
    consent::{ClientFingerprint, UserIdentity},
    pending::Login,
    random::random_text,
};
use crate::{Client, GrantType, inner::Inner, oauth_error::OAuthError, session::SecretHash, telemetry::LoginOutcome};

/// The user is sent to the provider: only after consent, so that nothing of a login exists before
/// (MCP Security Best Practices, Confused Deputy).
pub(crate) struct ProviderRedirect {
    /// Where to.
    pub(crate) url: String,
    state: SecretString,
    cookie: SecretString,
}

/// What was consented to.
pub(crate) struct ApprovedRequest<'a> {
    pub(crate) client: &'a Client,
    pub(crate) request: AuthorizationRequest,
    /// In which browser.
    pub(crate) browser: SecretHash,
    /// By whom, if it was an earlier time.
    pub(crate) user: Option<UserIdentity>,
}

/// So many logins of one browser may be under way, in as many tabs: a request has room for so many cookies.
const TABS: usize = 8;

/// What the names of their cookies begin with.
const PREFIX: &str = "login-";

impl ProviderRedirect {
    /// Keeps what is needed when the user comes back.
    pub(crate) async fn prepare(
        inner: &Inner,
        head: &Parts,
        consented: ApprovedRequest<'_>,
    ) -> Result<Self, OAuthError> {
        let caller = inner.limits.caller(&head.headers, &head.extensions);
        let ApprovedRequest { client, request, browser, user } = consented;
        inner.limits.acquire_login(&caller, client.id())?;
        let (state, nonce, cookie) = (random_text(), random_text(), random_text());
        let mut verifier = Zeroizing::new([0; 32]);
        rand::fill(&mut *verifier);
        let login = Login {
            client: ClientFingerprint::of(client),
            browser,
            consented: user,
            is_refreshable: client.grant_types.contains(&GrantType::RefreshToken),
            cookie: SecretHash::of_text(&cookie),
            verifier: *verifier,
            nonce: nonce.expose_secret().into(),
            request,
        };
        let begun = inner.logins.begin(&state, &login, &caller).await;
        begun.inspect_err(|_| inner.limits.refund_login(&caller, client.id()))?;
        inner.telemetry.login(LoginOutcome::Begun);
        Ok(Self { url: provider_url(inner, &state, &nonce, &login.verifier()), state, cookie })
    }

    /// The browser is given what it must show when it comes back: nobody else who has got hold of the URL can.
    pub(crate) fn mark(&self, request: &Parts, answer: &mut HeaderMap, inner: &Inner) {
        let cookies = inner.cookies;
        let others = cookies.names(&request.headers, PREFIX);
        for abandoned in others.iter().rev().skip(TABS - 1) {
            cookies.clear(answer, abandoned);
        }
        cookies.set(answer, &cookie_name(&self.state), &self.cookie, Some(inner.logins.ttl()));
    }
}

/// The name of the cookie of a login: that of another tab has another one.
pub(crate) fn cookie_name(state: &SecretString) -> String {
    let [a, b, c, d, ..] = *SecretHash::of_text(state).as_bytes();
    format!("{PREFIX}{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// The client has no say in what is asked for there.
fn provider_url(inner: &Inner, state: &SecretString, nonce: &SecretString, verifier: &CodeVerifier) -> String {
    let callback = inner.config.callback();
    let provider = &inner.provider;
    let client_id = provider.client_id();
    let request = providers::AuthorizationRequest::new(client_id, &callback, state.expose_secret(), verifier)
        .with_scopes(&inner.config.upstream_scopes)
        .with_nonce(nonce.expose_secret());
    let parameters = inner.config.upstream_parameters.iter();
    let request = parameters.fold(request, |request, (name, value)| request.with_parameter(name, value));
    provider.provider().authorization_url(&request)
}
