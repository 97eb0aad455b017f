//! A code becomes tokens, once.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::UnixTime;
use subtle::ConstantTimeEq as _;

use super::{
    Session, Stage,
    live::{ActiveTokens, Lifetimes, TokenPair},
    model::RedeemedCode,
    secret::Secret,
};
use crate::oauth_error::{ErrorCode, OAuthError};

/// Who presents a code, and with what.
#[derive(Debug)]
pub(crate) struct Redemption<'a> {
    pub(crate) code: &'a Secret,
    pub(crate) client_id: &'a str,
    /// Not needed since OAuth 2.1, but many send it.
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) code_verifier: &'a str,
    pub(crate) resource: Option<&'a str>,
}

/// What becomes of a code.
#[derive(Debug)]
pub(crate) enum Redeemed {
    Issued(TokenPair),
    /// It was used before: whoever did may not have been the client. RFC 6749 section 4.1.2.
    Reused,
    /// Nothing has changed: a thief without the verifier does not spoil the login.
    Refused(OAuthError),
}

impl Session {
    /// Redeems a code.
    pub(crate) fn redeem(&mut self, request: &Redemption<'_>, lifetimes: &Lifetimes, now: UnixTime) -> Redeemed {
        let code = match &self.stage {
            Stage::Code(code) => code,
            Stage::Live(live) if self.is_reused(live, request) => return Redeemed::Reused,
            Stage::Live(_) | Stage::Ended { .. } => return refused("the code is not good any more"),
        };
        if !code.code.is_of(request.code) || now >= code.expires_at {
            return refused("the code is not good any more");
        }
        if *self.client_id != *request.client_id {
            return refused("the code was issued to another client");
        }
        if request.redirect_uri.is_some_and(|redirect_uri| *redirect_uri != *code.redirect_uri) {
            return refused("the code was sent to another redirect_uri");
        }
        if !is_verifier(request.code_verifier) || !fits(&code.challenge, request.code_verifier) {
            return refused("the code_verifier does not fit the code_challenge");
        }
        if request.resource.is_some_and(|resource| !self.resource.is_named_by(resource)) {
            return Redeemed::Refused(OAuthError::new(ErrorCode::InvalidTarget, "the login was for another resource"));
        }
        let mut live = ActiveTokens::of_code(RedeemedCode { code: code.code, challenge: code.challenge.clone() });
        let refresh = self.is_refreshable.then(Secret::random);
        let pair = self.issue(&mut live, (Secret::random(), refresh), Default::default(), None, lifetimes, now);
        self.stage = Stage::Live(live);
        Redeemed::Issued(pair)
    }

    /// Whether a code comes a second time with all that it needs: then somebody else has been here, or is. Old codes lie about in
    /// browser histories; without the verifier they are good for nothing, and prove nothing.
    fn is_reused(&self, live: &ActiveTokens, request: &Redemption<'_>) -> bool {
        live.code().is_some_and(|used| {
            used.code.is_of(request.code)
                && *self.client_id == *request.client_id
                && fits(&used.challenge, request.code_verifier)
        })
    }
}

fn refused(description: &'static str) -> Redeemed {
    Redeemed::Refused(OAuthError::invalid_grant(description))
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// RFC 7636 section 4.6, with S256.
fn fits(challenge: &str, verifier: &str) -> bool {
    let expected = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    expected.as_bytes().ct_eq(challenge.as_bytes()).into()
}
