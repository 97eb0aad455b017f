//! [`Login`]: from the code that came through the browser to a user.

use portcullis_core::{AuthError, Reason, ScopeSet};
use portcullis_oauth::{Claims, CodeVerifier, ProtocolError, id_token::IdToken, providers::Profile};
use secrecy::SecretString;

use super::{
    ProviderClient,
    fresh_tokens::FreshTokens,
    login_error::{LoginError, LoginStep},
};
use crate::{RefreshError, TokenSet};

/// Who has logged in, and what they allowed. `Debug` prints no token, and of the user the subject only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Login {
    /// The tokens of a new grant. Whoever does not keep them [revokes](ProviderClient::revoke) them.
    pub tokens: TokenSet,
    /// The user, by the name that the provider has for them ([`Profile::subject`]).
    pub profile: Profile,
    /// What the ID token says, where there is one. It was verified, and is of the same user.
    pub id_token_claims: Option<Claims>,
}

impl ProviderClient {
    /// Logs a user in: redeems `code`, which came to `redirect_uri`, and finds out who the user is.
    ///
    /// `verifier` and `nonce` are what the authorization request went out with, `asked` the scopes it asked for; that the
    /// response is of this provider [was checked](portcullis_oauth::providers::Provider::check_issuer).
    ///
    /// 1. The code is redeemed.
    /// 2. Where the provider issues ID tokens and `openid` was asked for, there must be one, and it must be
    ///    [good](portcullis_oauth::id_token::IdTokenPolicy) for this client, this login and these tokens.
    /// 3. The profile is fetched. It must be of the user of the ID token
    ///    ([OpenID Connect Core 1.0 section 5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse)).
    ///
    /// If it fails after the code was redeemed, or nobody waits for it any more, the new tokens are revoked in the background,
    /// unless that would [end other logins](portcullis_oauth::providers::Provider::revocation_ends_other_logins) of the user.
    ///
    /// Look at the [scopes](TokenSet::scopes): a user may allow less than was asked for.
    ///
    /// # Errors
    /// [`LoginError`]. A code is good once: whatever the outcome, only a new login brings tokens.
    pub async fn login(
        &self,
        code: &SecretString,
        redirect_uri: &str,
        verifier: &CodeVerifier,
        nonce: &str,
        asked: &ScopeSet,
    ) -> Result<Login, LoginError> {
        let request = self.provider().code_request(self.client(), code, redirect_uri, verifier);
        let response =
            self.redeem(code, request).await.map_err(|failure| LoginError::of_code(RefreshError::from(failure)))?;
        let fresh = FreshTokens::new(self.clone(), TokenSet::from_login(response.clone(), asked, self.now()));
        let received_at = fresh.received_at();

        let id_token = self.id_token(response.id_token.as_ref(), nonce, &fresh, asked).await;
        let id_token = id_token.map_err(|cause| LoginError::after(LoginStep::IdToken, cause))?;
        let profile = self.fresh_profile(&fresh).await.and_then(|profile| of_one_user(profile, id_token.as_ref()));
        let profile = profile.map_err(|cause| LoginError::after(LoginStep::Profile, cause))?;

        let response = self.with_lifetime(response).await;
        fresh.keep();
        let tokens = TokenSet::from_login(response, asked, received_at);
        Ok(Login { tokens, profile, id_token_claims: id_token.map(IdToken::into_claims) })
    }

    /// The ID token that must have come; `None` if none is needed.
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

    /// The profile of a user whose token has just come: if it is refused, that is not the user's fault.
    async fn fresh_profile(&self, fresh: &TokenSet) -> Result<Profile, AuthError> {
        self.profile(fresh.access_token()).await.map_err(|cause| match cause.reason() {
            Reason::Inactive => AuthError::new(Reason::FreshTokenRefused).with_source(cause),
            _ => cause,
        })
    }
}

fn of_one_user(profile: Profile, id_token: Option<&IdToken>) -> Result<Profile, AuthError> {
    match id_token {
        Some(id_token) if id_token.subject() != profile.subject() => Err(AuthError::new(Reason::SubjectMismatch)),
        _ => Ok(profile),
    }
}
