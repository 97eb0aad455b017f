//! [`ProviderClient::login`]: from an authorization code to a user; [`Login`] and [`LoginError`].

use std::{error::Error, fmt, ops::Deref};

use portcullis_core::{AuthError, Reason, ScopeSet};
use portcullis_oauth::{
    Claims, CodeVerifier, ProtocolError, TokenResponse,
    id_token::IdToken,
    providers::{Profile, ProfileSource},
};
use portcullis_refresh::{RefreshError, RefreshErrorKind, TokenSet};
use secrecy::SecretString;
use tokio::runtime::Handle;

use crate::provider_client::ProviderClient;

/// A completed login: the user, and the tokens of the new grant. `Debug` prints no token, and of the user the subject only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Login {
    /// The tokens of a new grant. A caller that does not store them must [revoke](ProviderClient::revoke) them.
    pub tokens: TokenSet,
    /// The user's profile; [`Profile::subject`] identifies the user.
    pub profile: Profile,
    /// The claims of the ID token, if there is one. It was verified, and has the same subject.
    pub id_token_claims: Option<Claims>,
}

impl ProviderClient {
    /// Logs a user in: redeems `code`, which was returned to `redirect_uri`, and identifies the user.
    ///
    /// `verifier`, `nonce` and the scopes `asked` are those of the authorization request. The caller must have
    /// [checked](portcullis_oauth::providers::Provider::check_issuer) that the authorization response comes from this provider.
    ///
    /// 1. The code is redeemed.
    /// 2. If the provider issues ID tokens and `openid` was requested, there must be an ID token that [passes the policy](portcullis_oauth::id_token::IdTokenPolicy) for
    ///    this client, this login and these tokens.
    /// 3. The profile is requested. Its subject must be that of the ID token
    ///    ([OpenID Connect Core 1.0 section 5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse)). For
    ///    [other sources](portcullis_oauth::providers::ProfileSource) it is that of the verified ID token, or of the token response.
    ///
    /// If it fails after the code was redeemed, or the future is dropped, the new tokens are revoked in the background, unless that would
    /// [end other logins](portcullis_oauth::providers::Provider::revocation_ends_other_logins) of the user.
    ///
    /// Compare the [scopes](TokenSet::scopes): a user may grant less than was requested.
    ///
    /// # Errors
    /// [`LoginError`]. A code is valid once: after an error only a new login returns tokens.
    pub async fn login(
        &self,
        code: &SecretString,
        redirect_uri: &str,
        verifier: &CodeVerifier,
        nonce: &str,
        asked: &ScopeSet,
    ) -> Result<Login, LoginError> {
        let request = self.provider().code_request(self.client(), code, redirect_uri, verifier);
        let response = self.redeem(code, request).await.map_err(|error| LoginError::of_code(error.into()))?;
        let fresh = RevokeOnDrop::new(self.clone(), TokenSet::from_login(response.clone(), asked, self.now()));
        let received_at = fresh.received_at();

        let id_token = self.id_token(response.id_token.as_ref(), nonce, &fresh, asked).await;
        let id_token = id_token.map_err(|cause| LoginError::after(LoginStep::IdToken, cause))?;
        let profile = self.login_profile(&response, &fresh, id_token.as_ref()).await;
        let profile = profile.map_err(|cause| LoginError::after(LoginStep::Profile, cause))?;

        let response = self.with_lifetime(response).await;
        fresh.disarm();
        let tokens = TokenSet::from_login(response, asked, received_at);
        Ok(Login { tokens, profile, id_token_claims: id_token.map(IdToken::into_claims) })
    }

    /// Verifies the ID token; `None` if none is required.
    async fn id_token(
        &self,
        id_token: Option<&SecretString>,
        nonce: &str,
        fresh: &TokenSet,
        asked: &ScopeSet,
    ) -> Result<Option<IdToken>, AuthError> {
        let Some(id_tokens) = self.id_tokens().filter(|_| asked.contains("openid")) else { return Ok(None) };
        let missing = || AuthError::new(Reason::MissingClaim).with_source(ProtocolError::InvalidMember("id_token"));
        let id_token = id_token.ok_or_else(missing)?;
        let access_token = fresh.access_token().token();
        id_tokens.verify(id_token, nonce, access_token, self.clock()).await.map(Some)
    }

    /// Returns the profile of the user who has just logged in, from where the provider has it. If the provider rejects a token that it has
    /// just issued, the user is not at fault.
    async fn login_profile(
        &self,
        response: &TokenResponse,
        fresh: &TokenSet,
        id_token: Option<&IdToken>,
    ) -> Result<Profile, AuthError> {
        let missing = |what| AuthError::from(ProtocolError::InvalidMember(what));
        match self.provider().vendor().profile {
            ProfileSource::IdToken => {
                Ok(self.provider().profile_of_id_token(id_token.ok_or_else(|| missing("id_token"))?)?)
            }
            ProfileSource::TokenResponse => Ok(response.profile.clone().ok_or_else(|| missing("profile"))??),
            _ => match self.profile(fresh.access_token()).await {
                Ok(profile) => check_user(profile, id_token),
                Err(cause) if cause.reason() == Reason::Inactive => {
                    Err(AuthError::new(Reason::FreshTokenRefused).with_source(cause))
                }
                Err(cause) => Err(cause),
            },
        }
    }
}

/// Checks that profile and ID token have the same `sub`, by whatever member the user is named.
fn check_user(profile: Profile, id_token: Option<&IdToken>) -> Result<Profile, AuthError> {
    match id_token {
        Some(id_token) if id_token.subject() != profile.sub() => {
            let problem = "the ID token and the profile are about different users: their `sub` differs";
            Err(AuthError::new(Reason::SubjectMismatch).with_source(problem))
        }
        _ => Ok(profile),
    }
}

/// The tokens of a login that is not complete. They are revoked if the login fails, or its future is dropped.
struct RevokeOnDrop {
    client: ProviderClient,
    tokens: TokenSet,
    is_armed: bool,
}

impl RevokeOnDrop {
    const fn new(client: ProviderClient, tokens: TokenSet) -> Self {
        Self { client, tokens, is_armed: true }
    }

    /// Completes the login: the tokens are not revoked.
    fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl Deref for RevokeOnDrop {
    type Target = TokenSet;

    fn deref(&self) -> &TokenSet {
        &self.tokens
    }
}

impl Drop for RevokeOnDrop {
    fn drop(&mut self) {
        // A failed login must not end other logins of the same user.
        if !self.is_armed || self.client.provider().revocation_ends_other_logins() {
            return;
        }
        // Without a runtime the process is stopping, and the tokens are left to expire.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(revoke(self.client.clone(), self.tokens.clone()));
        }
    }
}

async fn revoke(client: ProviderClient, tokens: TokenSet) {
    if let Err(error) = client.revoke(&tokens).await {
        let (provider, reason) = (client.provider().name(), error.reason());
        tracing::warn!(provider, %reason, source = error.source(), "tokens of a login that failed are not revoked");
    }
}

/// A failed login at a provider: the step that failed, and the category of the error. It contains no token.
#[derive(Clone)]
pub struct LoginError {
    kind: LoginErrorKind,
    step: LoginStep,
    cause: AuthError,
}

/// The category of a [`LoginError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LoginErrorKind {
    /// The code is invalid: used, expired, or issued to another client. The user may log in again.
    Refused,
    /// The identity that the provider states is not valid. **No** user is logged in, and nothing of it may be used.
    Identity,
    /// The provider fails or does not respond. A later login may succeed.
    Unavailable,
    /// The provider rejects this server, or its request: the operator has to act.
    Misconfigured,
}

/// A step of a login.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LoginStep {
    /// Redeeming the code.
    Code,
    /// Verifying the ID token.
    IdToken,
    /// Requesting the user's profile, and comparing it with the ID token.
    Profile,
}

impl LoginStep {
    /// Returns the name of the step in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::IdToken => "id_token",
            Self::Profile => "profile",
        }
    }
}

impl LoginError {
    /// Creates the error of a code that was not redeemed.
    fn of_code(error: RefreshError) -> Self {
        let kind = match error.kind() {
            RefreshErrorKind::Refused => LoginErrorKind::Refused,
            RefreshErrorKind::Misconfigured | RefreshErrorKind::Unexplained => LoginErrorKind::Misconfigured,
            _ => kind_of(error.cause()),
        };
        Self { kind, step: LoginStep::Code, cause: error.into() }
    }

    /// Creates the error of a `step` after the code was redeemed.
    fn after(step: LoginStep, cause: AuthError) -> Self {
        Self { kind: kind_of(&cause), step, cause }
    }

    /// Returns the category.
    #[must_use]
    pub const fn kind(&self) -> LoginErrorKind {
        self.kind
    }

    /// Returns the step that failed.
    #[must_use]
    pub const fn step(&self) -> LoginStep {
        self.step
    }

    /// Returns the underlying error.
    #[must_use]
    pub const fn cause(&self) -> &AuthError {
        &self.cause
    }
}

fn kind_of(cause: &AuthError) -> LoginErrorKind {
    match cause.reason() {
        Reason::ClientRefused | Reason::FreshTokenRefused => LoginErrorKind::Misconfigured,
        _ if cause.is_transient() => LoginErrorKind::Unavailable,
        _ => LoginErrorKind::Identity,
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the login failed ({:?}) at the step {:?}: {}", self.kind, self.step.as_str(), self.cause.reason())
    }
}

impl fmt::Debug for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginError")
            .field("kind", &self.kind)
            .field("step", &self.step)
            .field("cause", &self.cause)
            .finish()
    }
}

impl Error for LoginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
