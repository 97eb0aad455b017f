//! [`CompletedLogin`]: the user comes back from the provider.

use portcullis_core::ScopeSet;
use portcullis_grants::{Login as ProviderLogin, LoginError, LoginErrorKind, TokenSet};
use portcullis_oauth::{
    Claims,
    providers::{AuthorizationResponse, Profile},
};
use secrecy::SecretString;

use super::{consent::UserIdentity, pending::Login};
use crate::{
    inner::Inner,
    oauth_error::{ErrorCode, OAuthError},
    session::{CodeBinding, Secret, Session, SessionUser, Stage, TokenFamily},
    user_claims::user_claims,
};

/// What becomes of a user who has come back.
pub(crate) enum CompletedLogin {
    /// The client gets this code.
    Code(SecretString),
    /// It is another user than the one who consented: this one is asked.
    OtherUser,
}

impl CompletedLogin {
    /// Makes a session of what the provider says, for the client of `login`.
    ///
    /// What goes wrong from here on is told to the client: the user has consented, and the browser is the one that was sent away. It is
    /// told in words of ours, whatever the provider says.
    pub(crate) async fn of(inner: &Inner, login: &Login, response: AuthorizationResponse) -> Result<Self, OAuthError> {
        let code = code(inner, response)?;
        let ProviderLogin { tokens, profile, id_token_claims, .. } = log_in(inner, login, &code).await?;
        let kept = async {
            check_upstream_scopes(inner, &tokens)?;
            let user = user(inner, profile, id_token_claims.unwrap_or_default());
            if login.consented.as_ref().is_some_and(|consented| *consented != UserIdentity::of(&user)) {
                return Ok(None);
            }
            let scopes = inner.config.allowed_scopes(&user, &login.request.scopes)?;
            begin(inner, login, user, scopes, tokens.clone()).await.map(Some)
        };
        let kept = kept.await;
        if !matches!(kept, Ok(Some(_))) {
            discard(inner, tokens);
        }
        Ok(kept?.map_or(Self::OtherUser, Self::Code))
    }
}

/// The provider's code; if it is of this provider, and if there is one. RFC 9207 section 2.4.
fn code(inner: &Inner, response: AuthorizationResponse) -> Result<SecretString, OAuthError> {
    let provider = inner.provider.provider();
    provider.check_issuer(response.issuer()).map_err(|error| {
        tracing::warn!(provider = provider.name(), %error, "an authorization response is not of the provider");
        OAuthError::new(ErrorCode::ServerError, "the response is not of the identity provider")
    })?;
    response.into_code().map_err(|refusal| {
        let code = match &*refusal.code {
            "access_denied" => ErrorCode::AccessDenied,
            "temporarily_unavailable" => ErrorCode::TemporarilyUnavailable,
            _ => ErrorCode::ServerError,
        };
        if code != ErrorCode::AccessDenied {
            let (provider, error, description) = (provider.name(), &*refusal.code, refusal.description);
            tracing::warn!(provider, error, description, "the provider refuses an authorization request");
        }
        OAuthError::new(code, "the login at the identity provider was not completed")
    })
}

/// Who has logged in there.
async fn log_in(inner: &Inner, login: &Login, code: &SecretString) -> Result<ProviderLogin, OAuthError> {
    let asked = &inner.config.upstream_scopes;
    let outcome = inner.provider.login(code, &inner.config.callback(), &login.verifier(), &login.nonce, asked).await;
    outcome.map_err(|error| refused(inner, &error))
}

fn refused(inner: &Inner, error: &LoginError) -> OAuthError {
    let (provider, step, reason) = (inner.provider.provider().name(), error.step().as_str(), error.cause().reason());
    match error.kind() {
        LoginErrorKind::Refused => {
            tracing::warn!(provider, step, %reason, "the provider refuses a code");
            OAuthError::new(ErrorCode::AccessDenied, "the identity provider did not accept the login")
        }
        LoginErrorKind::Unavailable => {
            tracing::warn!(provider, step, %reason, "a login failed because the provider does");
            OAuthError::new(ErrorCode::TemporarilyUnavailable, "the identity provider does not answer")
        }
        LoginErrorKind::Identity | LoginErrorKind::Misconfigured | _ => {
            tracing::error!(provider, step, %reason, "a login failed: the provider refuses this server, or says who a user is in a way that does not hold");
            OAuthError::new(ErrorCode::ServerError, "the login at the identity provider failed")
        }
    }
}

/// Some providers let users choose what they allow.
fn check_upstream_scopes(inner: &Inner, tokens: &TokenSet) -> Result<(), OAuthError> {
    if !tokens.scopes().is_superset(&inner.config.required_upstream_scopes) {
        let description = "something that this server needs was not allowed at the identity provider";
        return Err(OAuthError::new(ErrorCode::AccessDenied, description));
    }
    Ok(())
}

/// The user as the provider knows them: the profile, and what else its tokens say, such as roles.
fn user(inner: &Inner, profile: Profile, id_token: Claims) -> SessionUser {
    let subject = profile.subject().into();
    let (profile, claims) = profile.into_parts();
    let mut claims = claims.into_inner();
    for (name, value) in user_claims(id_token) {
        claims.entry(name).or_insert(value);
    }
    SessionUser { issuer: inner.provider.provider().issuer().clone(), subject, profile, claims }
}

/// Keeps the session and the grant, durably; then there is a code.
async fn begin(
    inner: &Inner,
    login: &Login,
    user: SessionUser,
    scopes: ScopeSet,
    tokens: TokenSet,
) -> Result<SecretString, OAuthError> {
    let (handle, code, now) = (TokenFamily::random(), Secret::random(), inner.clock.now());
    let request = &login.request;
    let identity = UserIdentity::of(&user);
    let id = handle.session();
    let session = Session {
        handle,
        client_id: request.client_id.clone(),
        resource: request.resource.clone(),
        scopes,
        user,
        has_upstream: true,
        is_refreshable: login.is_refreshable,
        began_at: now,
        ends_at: now + inner.config.max_session_age,
        stage: Stage::Code(CodeBinding {
            code: code.hash(),
            challenge: request.challenge.clone(),
            redirect_uri: request.target.redirect_uri.as_str().into(),
            expires_at: now + inner.config.code_ttl,
        }),
    };
    if !inner.sessions.begin(id, &session, Some(tokens)).await? {
        // The same random id twice.
        return Err(OAuthError::new(ErrorCode::ServerError, "the server failed"));
    }
    // What was remembered is of the user who was asked then, and for as long as was said then.
    if login.consented.is_none()
        && let Err(error) = inner.consents.remember(login.browser, login.client, request, identity).await
    {
        // The user is asked again next time, and that is all.
        tracing::warn!(%error, "a consent could not be remembered");
    }
    Ok(code.code(id))
}

/// Tokens of a login that came to nothing go back, unless that would end other logins of the user.
fn discard(inner: &Inner, tokens: TokenSet) {
    let provider = inner.provider.clone();
    if !inner.config.revokes_upstream(provider.provider()) || provider.provider().revocation_ends_other_logins() {
        return;
    }
    inner.tasks.spawn(async move {
        if let Err(error) = provider.revoke(&tokens).await {
            let (provider, reason) = (provider.provider().name(), error.reason());
            tracing::warn!(provider, %reason, "the tokens of a login that came to nothing are not revoked");
        }
    });
}
