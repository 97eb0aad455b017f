//! The login at the provider: [`ProviderRedirects`] sends the browser there, and [`LoginCompletion`] makes a session and an authorization
//! code of its callback.

use std::{error::Error as _, iter, sync::Arc};

use http::{HeaderMap, HeaderValue};
use portcullis_core::{AuthError, Clock, Reason, ScopeSet};
use portcullis_egress::{EgressError, EgressErrorKind};
use portcullis_oauth::{
    Claims, CodeVerifier,
    providers::{self, AuthorizationRefusal, AuthorizationResponse, Profile},
};
use portcullis_refresh::TokenSet;
use portcullis_upstream::{Login as ProviderLogin, LoginError, LoginErrorKind, LoginStep, ProviderClient};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::{
    AuthorizationRequest, ClientFingerprint, Consents, Cookies, PendingLogin, PendingLogins,
    consent::{UserIdentity, random_text},
};
use crate::{
    BridgeConfig, Client, GrantType,
    limits::{Caller, RateLimits},
    response::{AUTHORIZATION_RESPONSE, ErrorCode, OAuthError},
    session::{CodeBinding, Secret, SecretHash, Session, SessionUser, Sessions, Stage, TokenFamily, user_claims},
    telemetry::{LoginOutcome, Telemetry},
};

/// Redirects users to the provider. Only after consent, so that nothing of a login is stored before
/// (MCP Security Best Practices, Confused Deputy).
#[derive(Debug)]
pub(crate) struct ProviderRedirects {
    config: Arc<BridgeConfig>,
    provider: ProviderClient,
    pending_logins: Arc<PendingLogins>,
    cookies: Cookies,
    limits: RateLimits,
    telemetry: Arc<Telemetry>,
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
    pub(crate) fn new(
        config: Arc<BridgeConfig>,
        provider: ProviderClient,
        pending_logins: Arc<PendingLogins>,
        limits: RateLimits,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let cookies = Cookies::new(&config.urls());
        Self { config, provider, pending_logins, cookies, limits, telemetry }
    }

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

/// Completes logins: exchanges the provider's code, checks the user, and creates a session.
#[derive(Debug)]
pub(crate) struct LoginCompletion {
    config: Arc<BridgeConfig>,
    provider: ProviderClient,
    sessions: Sessions,
    consents: Arc<Consents>,
    tasks: TaskTracker,
    clock: Arc<dyn Clock>,
}

/// The outcome of a login at the provider.
pub(crate) enum CompletedLogin {
    /// The client receives this authorization code.
    Code(SecretString),
    /// Another user than the one of the stored consent has logged in, and has to consent.
    OtherUser,
}

impl LoginCompletion {
    pub(crate) const fn new(
        config: Arc<BridgeConfig>,
        provider: ProviderClient,
        sessions: Sessions,
        consents: Arc<Consents>,
        tasks: TaskTracker,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { config, provider, sessions, consents, tasks, clock }
    }

    /// Completes `login` with the provider's `response`.
    ///
    /// # Errors
    /// Errors are reported to the client, because the user has consented and the browser is the one that began the login. The
    /// descriptions never contain text of the provider.
    pub(crate) async fn complete(
        &self,
        login: &PendingLogin,
        response: AuthorizationResponse,
    ) -> Result<CompletedLogin, OAuthError> {
        let outcome = self.try_to_complete(login, response).await;
        outcome.inspect_err(|error| {
            error.log_failed_login(self.provider.provider().name(), &login.request.client_id);
        })
    }

    async fn try_to_complete(
        &self,
        login: &PendingLogin,
        response: AuthorizationResponse,
    ) -> Result<CompletedLogin, OAuthError> {
        let code = self.code(response)?;
        let ProviderLogin { tokens, profile, id_token_claims, .. } = self.log_in(login, &code).await?;
        let user = self.user(profile, id_token_claims.unwrap_or_default());
        let outcome = self.begin_session(login, user, &tokens).await;
        if !matches!(outcome, Ok(CompletedLogin::Code(_))) {
            self.discard(tokens);
        }
        outcome
    }

    /// Returns the provider's code, after a check of `iss`. RFC 9207 section 2.4.
    fn code(&self, response: AuthorizationResponse) -> Result<SecretString, OAuthError> {
        let provider = self.provider.provider();
        provider.check_issuer(response.issuer()).map_err(|_| {
            OAuthError::new(ErrorCode::ServerError, "authorization response of another issuer")
                .with_step(AUTHORIZATION_RESPONSE)
                .with_found(response.issuer().unwrap_or("no `iss`"), provider.issuer().as_str())
                .with_key("bridge.issuer")
        })?;
        response.into_code().map_err(|refusal| {
            let is_by_user = refusal.is_by_user();
            let AuthorizationRefusal { code, description, .. } = refusal;
            let (error, text) = match &*code {
                "temporarily_unavailable" => (ErrorCode::TemporarilyUnavailable, UNAVAILABLE),
                "server_error" => (ErrorCode::ServerError, "the identity provider failed"),
                _ if is_by_user => (ErrorCode::AccessDenied, "the login at the identity provider was not completed"),
                _ => (ErrorCode::ServerError, REFUSES_US),
            };
            let found = format!("error {code:?}, description {:?}", description.unwrap_or_default());
            let error = OAuthError::new(error, text)
                .with_step(AUTHORIZATION_RESPONSE)
                .with_found(&found, "an authorization code");
            if text == REFUSES_US {
                error.with_key("bridge.client_id, bridge.scopes, bridge.parameters")
            } else {
                error
            }
        })
    }

    /// Exchanges the code at the provider.
    async fn log_in(&self, login: &PendingLogin, code: &SecretString) -> Result<ProviderLogin, OAuthError> {
        let scopes = &self.config.upstream_scopes;
        let callback = self.config.callback();
        let outcome = self.provider.login(code, &callback, &login.verifier(), &login.nonce, scopes).await;
        outcome.map_err(|error| login_error(&error))
    }

    /// Some providers let users select the scopes that they grant.
    fn check_upstream_scopes(&self, tokens: &TokenSet) -> Result<(), OAuthError> {
        if !tokens.scopes().is_superset(&self.config.required_upstream_scopes) {
            let description = "a required permission was not granted at the identity provider";
            let (found, expected) = (tokens.scopes().to_string(), self.config.required_upstream_scopes.to_string());
            return Err(OAuthError::new(ErrorCode::AccessDenied, description)
                .with_step("upstream_scopes")
                .with_found(&found, &expected)
                .with_key("bridge.scopes, bridge.required_upstream_scopes"));
        }
        Ok(())
    }

    /// Returns the user with the profile and the further claims of the ID token, such as roles. Claims about the provider's own tokens are
    /// removed, also those that a profile takes from an access token (Keycloak).
    fn user(&self, profile: Profile, id_token: Claims) -> SessionUser {
        let subject = profile.subject().into();
        let (profile, claims) = profile.into_parts();
        let mut claims = user_claims(claims);
        for (name, value) in user_claims(id_token) {
            claims.entry(name).or_insert(value);
        }
        SessionUser { issuer: self.provider.provider().issuer().clone(), subject, profile, claims }
    }

    async fn begin_session(
        &self,
        login: &PendingLogin,
        user: SessionUser,
        tokens: &TokenSet,
    ) -> Result<CompletedLogin, OAuthError> {
        self.check_upstream_scopes(tokens)?;
        let identity = UserIdentity::of(&user);
        if login.consented.as_ref().is_some_and(|consented| *consented != identity) {
            return Ok(CompletedLogin::OtherUser);
        }
        let scopes = self.config.allowed_scopes(&user, &login.request.scopes)?;
        let code = self.store_session(login, user, scopes, tokens.clone()).await?;
        // A stored consent stays that of the user who gave it, with its lifetime.
        if login.consented.is_none()
            && let Err(error) = self.consents.store(login.browser, login.client, &login.request, identity).await
        {
            // The only consequence is that the user is asked again.
            tracing::warn!(%error, "consent could not be stored");
        }
        Ok(CompletedLogin::Code(code))
    }

    /// Stores the session and the grant. Only then the code exists.
    async fn store_session(
        &self,
        login: &PendingLogin,
        user: SessionUser,
        scopes: ScopeSet,
        tokens: TokenSet,
    ) -> Result<SecretString, OAuthError> {
        let (family, code, now) = (TokenFamily::random(), Secret::random(), self.clock.now());
        let request = &login.request;
        let id = family.session();
        let session = Session {
            family,
            client_id: request.client_id.clone(),
            resource: request.resource.clone(),
            scopes,
            user,
            has_upstream: true,
            is_refreshable: login.is_refreshable,
            began_at: now,
            ends_at: now + self.config.max_session_age,
            stage: Stage::Code(CodeBinding {
                code: code.hash(),
                challenge: request.challenge.clone(),
                redirect_uri: request.target.redirect_uri.as_str().into(),
                expires_at: now + self.config.code_ttl,
            }),
        };
        if !self.sessions.begin(id, &session, Some(tokens)).await? {
            return Err(OAuthError::new(ErrorCode::ServerError, "session id collision"));
        }
        let (provider, client_id) = (self.provider.provider().name(), &*request.client_id);
        let (user, scope) = (session.user.global_subject(), session.scopes.to_string());
        tracing::info!(provider, client_id, user, session = %id, scope, "login completed");
        Ok(code.code(id))
    }

    /// Revokes the tokens of a failed login, unless that would end other logins of the user.
    fn discard(&self, tokens: TokenSet) {
        let provider = self.provider.clone();
        if !self.config.revokes_upstream(provider.provider()) || provider.provider().revocation_ends_other_logins() {
            return;
        }
        self.tasks.spawn(async move {
            if let Err(error) = provider.revoke(&tokens).await {
                let (provider, reason) = (provider.provider().name(), error.reason());
                tracing::warn!(provider, %reason, "tokens of a failed login could not be revoked");
            }
        });
    }
}

const REFUSES_US: &str = "the identity provider refuses this server";
const UNAVAILABLE: &str = "the identity provider does not answer, or not at present";
const UNUSABLE: &str = "the answer of the identity provider cannot be used";
const BLOCKED: &str = "this server may not send requests to the identity provider";

/// Returns the error that the client receives, with the cause and the keys to check for the log.
fn login_error(error: &LoginError) -> OAuthError {
    let cause = error.cause();
    let (step, reason) = (error.step(), cause.reason());
    let (code, description) = match error.kind() {
        _ if egress_error(cause).is_some_and(|error| error.kind() == EgressErrorKind::Blocked) => {
            (ErrorCode::ServerError, BLOCKED)
        }
        LoginErrorKind::Refused => (ErrorCode::AccessDenied, "the identity provider rejected the login"),
        LoginErrorKind::Misconfigured => (ErrorCode::ServerError, REFUSES_US),
        LoginErrorKind::Unavailable if reason != Reason::ProviderMisbehaved => {
            (ErrorCode::TemporarilyUnavailable, UNAVAILABLE)
        }
        _ => (ErrorCode::ServerError, UNUSABLE),
    };
    let (expected, key) = remedy(step, reason, description);
    let status = egress_error(cause).and_then(EgressError::status).map(|status| format!(" (status {status})"));
    let found = format!("{reason}: {}{}", cause.causes().unwrap_or_default(), status.unwrap_or_default());
    OAuthError::new(code, description).with_step(step.as_str()).with_found(&found, expected).with_key(key)
}

/// Returns the error of a request that has no usable response, if it is the cause of `error`.
fn egress_error(error: &AuthError) -> Option<&EgressError> {
    iter::successors(error.source(), |error| (**error).source()).find_map(|error| error.downcast_ref())
}

/// Returns what a login expects of the provider, and the configuration keys to check, for a failure with `reason` at `step`.
fn remedy(step: LoginStep, reason: Reason, description: &str) -> (&'static str, &'static str) {
    if description == BLOCKED {
        return ("a destination that the configuration permits", "egress.allowed_networks, bridge.endpoints");
    }
    match (step, reason) {
        (_, Reason::WrongIssuer) => ("the issuer of the configuration", "bridge.issuer"),
        (_, Reason::WrongAudience | Reason::WrongClient) => {
            ("an ID token for the client id of this server", "bridge.client_id")
        }
        (_, Reason::UnknownKey | Reason::BadSignature | Reason::KeySetUnavailable) => {
            ("an ID token that a published key of the provider verifies", "bridge.endpoints.jwks")
        }
        (_, Reason::Expired | Reason::NotYetValid | Reason::IssuedInFuture) => {
            ("an ID token of the last minutes", "none: compare the clocks of this server and of the provider")
        }
        (_, Reason::ProviderTimeout) => ("an answer in time", "egress.timeout, bridge.endpoints"),
        (_, Reason::ProviderUnavailable | Reason::BackingOff) => ("an answer", "bridge.endpoints"),
        (_, Reason::ProviderRateLimited) => ("an answer", "none: the provider limits the rate of requests"),
        (LoginStep::Code, _) => (
            "tokens for the authorization code",
            "bridge.client_id, bridge.client_secret, bridge.token_endpoint_auth_method, bridge.endpoints.token, public_url",
        ),
        (LoginStep::IdToken, _) => ("a valid ID token", "bridge.scopes, bridge.issuer"),
        _ => ("the profile of the user who logged in", "bridge.scopes, bridge.endpoints.userinfo"),
    }
}
