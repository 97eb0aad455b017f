//! The authorization code grant: redemption of a code, at most once, with PKCE.
//! [RFC 6749 section 4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3)

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::UnixTime;
use subtle::ConstantTimeEq as _;

use super::issuer::{Issued, TokenIssuer, requested_resource};
use crate::{
    Client,
    parameters::Parameters,
    response::{ErrorCode, OAuthError},
    session::{
        ActiveTokens, Decision, EndReason, Lifetimes, NewTokens, ParsedToken, RedeemedCode, Secret, Session, Stage,
        TokenPair,
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
    /// The code was redeemed before, possibly by an attacker. RFC 6749 section 4.1.2.
    Reused,
    /// The session is unchanged: an attacker without the verifier cannot make the code unusable.
    Rejected(OAuthError),
}

const INVALID_CODE: &str = "authorization code expired or already used";

impl TokenIssuer {
    /// Redeems the code in `form`. A second redemption ends the session.
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
            Stage::Live(tokens) if self.is_reuse(tokens, request) => return Redeemed::Reused,
            Stage::Live(_) | Stage::Ended { .. } => return rejected(INVALID_CODE),
        };
        if !code.code.is_of(request.code) || now >= code.expires_at {
            return rejected(INVALID_CODE);
        }
        if *self.client_id != *request.client_id {
            return rejected("authorization code was issued to another client");
        }
        if request.redirect_uri.is_some_and(|redirect_uri| *redirect_uri != *code.redirect_uri) {
            return rejected("redirect_uri differs from the authorization request");
        }
        if !is_verifier(request.code_verifier) || !matches_challenge(&code.challenge, request.code_verifier) {
            return rejected("code_verifier does not match code_challenge");
        }
        if request.resource.is_some_and(|resource| !self.resource.is_named_by(resource)) {
            return Redeemed::Rejected(other_resource());
        }
        let mut tokens = ActiveTokens::from_code(RedeemedCode { code: code.code, challenge: code.challenge.clone() });
        let refresh = self.is_refreshable.then(Secret::random);
        let pair = self.issue(&mut tokens, NewTokens::first(refresh), lifetimes, now);
        self.stage = Stage::Live(tokens);
        Redeemed::Issued(pair)
    }

    /// Reports whether a redeemed code is presented again with all that it requires. Without the verifier, an old code from a browser's
    /// history proves nothing.
    fn is_reuse(&self, tokens: &ActiveTokens, request: &CodeRedemption<'_>) -> bool {
        tokens.code().is_some_and(|redeemed| {
            redeemed.code.is_of(request.code)
                && *self.client_id == *request.client_id
                && matches_challenge(&redeemed.challenge, request.code_verifier)
        })
    }
}

fn rejected(description: &'static str) -> Redeemed {
    Redeemed::Rejected(OAuthError::invalid_grant(description))
}

fn other_resource() -> OAuthError {
    OAuthError::new(ErrorCode::InvalidTarget, "resource differs from the authorization request")
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
