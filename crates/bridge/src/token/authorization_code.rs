//! The authorization code grant: redemption of a code with PKCE, repetition within the grace period, and reuse detection.
//! [RFC 6749 section 4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3)

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{ResourceUri, UnixTime};
use subtle::ConstantTimeEq as _;

use super::issuer::{Issued, TokenIssuer, requested_resource};
use crate::{
    Client,
    parameters::{Parameters, names_resource},
    response::{ErrorCode, OAuthError},
    session::{
        ActiveTokens, Decision, EndReason, FirstTokens, Lifetimes, NewTokens, ParsedToken, RedeemedCode, Secret,
        SecretSalt, Session, Stage, TokenPair,
    },
};

/// An authorization code as a client presents it.
#[derive(Debug)]
pub(super) struct CodeRedemption<'a> {
    pub(super) code: &'a Secret,
    pub(super) client_id: &'a str,
    /// Not required since OAuth 2.1, but many clients send it.
    pub(super) redirect_uri: Option<&'a str>,
    pub(super) code_verifier: &'a str,
    pub(super) resource: Option<&'a str>,
}

/// The outcome of a redemption.
#[derive(Debug)]
pub(super) enum Redeemed {
    Issued(TokenPair),
    /// The code was redeemed within the grace period. The same tokens are returned, because the response may have been lost.
    Repeated {
        pair: TokenPair,
        /// Whether the session has changed, because the first access token is not valid any more.
        is_changed: bool,
    },
    /// The code was redeemed before the grace period, possibly by an attacker. RFC 6749 section 4.1.2.
    Reused,
    /// The session is unchanged: an attacker without the verifier cannot make the code unusable.
    Rejected(OAuthError),
}

/// How long a redeemed code returns the same tokens, if [`Lifetimes::rotation_grace`] is not shorter.
const CODE_GRACE: Duration = Duration::from_secs(30);

const INVALID_CODE: &str = "authorization code expired or already used";

impl TokenIssuer {
    /// Redeems the code in `form`.
    ///
    /// The client may repeat it within the grace period, with the verifier, until it uses the refresh token, and gets the same response. A
    /// later redemption ends the session.
    pub(super) async fn redeem_code(&self, client: &Client, form: &Parameters) -> Result<Issued, OAuthError> {
        let code = ParsedToken::code(form.required("code")?);
        let code_verifier = form.required("code_verifier")?;
        let resource = requested_resource(form)?;
        let ParsedToken { of: id, secret } = code.ok_or_else(|| OAuthError::invalid_grant(INVALID_CODE))?;
        let request = CodeRedemption {
            code: &secret,
            client_id: client.id(),
            redirect_uri: form.optional("redirect_uri"),
            code_verifier,
            resource,
        };
        let decided =
            self.sessions.decide(id, |session, now| match session.redeem_code(&request, &self.config.lifetimes, now) {
                Redeemed::Issued(pair) => Decision::Replace(Ok(Issued { id, session: session.clone(), pair })),
                Redeemed::Repeated { pair, is_changed } => {
                    self.telemetry.code_repeated();
                    let issued = Ok(Issued { id, session: session.clone(), pair });
                    if is_changed { Decision::Replace(issued) } else { Decision::Keep(issued) }
                }
                Redeemed::Reused => {
                    tracing::warn!(session = %id, "authorization code reused: ending the session");
                    let error = OAuthError::invalid_grant("authorization code already used");
                    Decision::End(EndReason::CodeReused, Err(error))
                }
                Redeemed::Rejected(error) => Decision::Keep(Err(error)),
            });
        decided.await?.ok_or_else(|| OAuthError::invalid_grant(INVALID_CODE))?
    }
}

impl Session {
    /// Redeems a code: decides and changes the session, without a store.
    pub(super) fn redeem_code(
        &mut self,
        request: &CodeRedemption<'_>,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> Redeemed {
        let code = match &self.stage {
            Stage::Code(code) => code,
            Stage::Live(_) => return self.redeem_again(request, lifetimes, now),
            Stage::Ended { .. } => return rejected(INVALID_CODE),
        };
        if !code.code.is_of(request.code) {
            return rejected(INVALID_CODE);
        }
        if now >= code.expires_at {
            let error = OAuthError::invalid_grant(INVALID_CODE);
            return Redeemed::Rejected(
                error.with_found(&format!("time {now:?}"), &format!("before {:?}", code.expires_at)),
            );
        }
        if *self.client_id != *request.client_id {
            let error = OAuthError::invalid_grant("authorization code was issued to another client");
            return Redeemed::Rejected(error.with_found(request.client_id, &self.client_id));
        }
        if let Some(redirect_uri) = request.redirect_uri.filter(|redirect_uri| **redirect_uri != *code.redirect_uri) {
            let error = OAuthError::invalid_grant("redirect_uri differs from the authorization request");
            return Redeemed::Rejected(error.with_found(redirect_uri, &code.redirect_uri));
        }
        if !is_verifier(request.code_verifier) || !matches_challenge(&code.challenge, request.code_verifier) {
            return rejected("code_verifier does not match code_challenge");
        }
        if let Some(resource) = request.resource.filter(|resource| !names_resource(resource, &self.resource)) {
            return Redeemed::Rejected(other_resource(resource, &self.resource));
        }
        let mut salt = [0; 32];
        rand::fill(&mut salt);
        let first = FirstTokens { salt: SecretSalt(salt), issued_at: now };
        let new = self.first_tokens(request.code, &first);
        let redeemed =
            RedeemedCode { code: code.code, challenge: code.challenge.clone(), first: Some(Box::new(first)) };
        let mut tokens = ActiveTokens::from_code(redeemed);
        let pair = self.issue(&mut tokens, new, lifetimes, now);
        self.stage = Stage::Live(tokens);
        Redeemed::Issued(pair)
    }

    /// Derives the first tokens from the code and a random salt, as [a rotation](Self::rotate) derives its tokens.
    fn first_tokens(&self, code: &Secret, FirstTokens { salt: SecretSalt(salt), .. }: &FirstTokens) -> NewTokens {
        let refresh = self.is_refreshable.then(|| code.derive("first refresh token", salt));
        NewTokens { access: code.derive("first access token", salt), ..NewTokens::first(refresh) }
    }

    /// Redeems a code that was redeemed before. Without the verifier, an old code from a browser's history proves nothing.
    fn redeem_again(&mut self, request: &CodeRedemption<'_>, lifetimes: &Lifetimes, now: UnixTime) -> Redeemed {
        let Some(tokens) = self.active_tokens() else { return rejected(INVALID_CODE) };
        let redeemed = tokens.code().filter(|redeemed| {
            redeemed.code.is_of(request.code)
                && *self.client_id == *request.client_id
                && matches_challenge(&redeemed.challenge, request.code_verifier)
        });
        let Some(redeemed) = redeemed else { return rejected(INVALID_CODE) };
        let grace = CODE_GRACE.min(lifetimes.rotation_grace);
        let Some(first) = redeemed.first.as_deref().filter(|first| now <= first.issued_at + grace) else {
            return Redeemed::Reused;
        };
        let new = self.first_tokens(request.code, first);
        // A client that has refreshed its tokens had received them.
        let current = tokens.refresh.as_ref().map(|refresh| refresh.token);
        if new.refresh.as_ref().map(Secret::hash) != current {
            return Redeemed::Reused;
        }
        if let Some(resource) = request.resource.filter(|resource| !names_resource(resource, &self.resource)) {
            return Redeemed::Rejected(other_resource(resource, &self.resource));
        }
        if let Some(entry) = tokens.access(new.access.hash(), now) {
            let (issued_at, access_expires_at) = (entry.issued_at, entry.expires_at);
            let NewTokens { access, refresh, .. } = new;
            let pair = TokenPair { access, refresh, issued_at, access_expires_at, scopes: self.scopes.clone() };
            return Redeemed::Repeated { pair, is_changed: false };
        }
        let mut tokens = tokens.clone();
        if !tokens.make_room(now) {
            return Redeemed::Rejected(OAuthError::rate_limited(60));
        }
        let new = NewTokens { access: Secret::random(), ..new };
        let pair = self.issue(&mut tokens, new, lifetimes, now);
        self.stage = Stage::Live(tokens);
        Redeemed::Repeated { pair, is_changed: true }
    }
}

fn rejected(description: &'static str) -> Redeemed {
    Redeemed::Rejected(OAuthError::invalid_grant(description))
}

/// Creates the error of a request for another resource than that of the session.
pub(super) fn other_resource(presented: &str, resource: &ResourceUri) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidTarget, "resource differs from the authorization request")
        .with_found(presented, resource.as_str())
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// RFC 7636 section 4.6, with S256.
fn matches_challenge(challenge: &str, verifier: &str) -> bool {
    let expected = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    expected.as_bytes().ct_eq(challenge.as_bytes()).into()
}
