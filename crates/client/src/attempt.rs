//! [`Attempt`]: what is done about a response that refuses the token of its request.

use http::{HeaderMap, Method, StatusCode, Uri, header};
use portcullis_core::{AccessToken, Challenge, ScopeSet};

use crate::{AcquireError, DpopKey, TokenManager};

/// How many times a request may be repeated because its token had been replaced meanwhile, without an exchange for the request.
const ADOPTIONS: u8 = 2;

/// One request with the token that it bears, and with what was done for it so far.
#[derive(Debug)]
pub(crate) struct Attempt {
    token: Option<AccessToken>,
    /// The key to which the token is bound.
    dpop: Option<DpopKey>,
    adoptions: u8,
    /// A token was requested because the resource refused one, or wanted one.
    renewed: bool,
    /// Scopes were requested.
    stepped_up: bool,
    /// The resource asked for its nonce, and the request was repeated with it.
    nonce_was_asked: bool,
}

/// How the resource refused a request.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    challenge: Challenge,
    /// The token is not refused: the proof lacks the nonce of the resource.
    asks_for_nonce: bool,
}

impl Refusal {
    /// Creates the refusal of a token that is presented without a proof.
    #[cfg(feature = "rmcp")]
    pub(crate) const fn bearer(status: StatusCode, challenge: Challenge) -> Self {
        Self { status, challenge, asks_for_nonce: false }
    }
}

impl Attempt {
    pub(crate) const fn new(token: Option<AccessToken>, dpop: Option<DpopKey>) -> Self {
        Self { token, dpop, adoptions: 0, renewed: false, stepped_up: false, nonce_was_asked: false }
    }

    /// Adds the headers that present the token: for a token that is bound to a key, with a new proof. They replace those of an earlier
    /// attempt.
    pub(crate) fn present(&self, headers: &mut HeaderMap, method: &Method, uri: &Uri) {
        match (&self.token, &self.dpop) {
            (Some(token), Some(key)) => key.authorize(headers, method, uri, token.token()),
            (Some(token), None) => {
                headers.insert(header::AUTHORIZATION, token.authorization());
            }
            (None, _) => {}
        }
    }

    /// Returns how the resource refused the request, if the response says so. Remembers the nonce of the response.
    pub(crate) fn refusal(&self, uri: &Uri, status: StatusCode, headers: &HeaderMap) -> Option<Refusal> {
        let scheme = match &self.dpop {
            Some(key) => {
                key.note_nonce(uri, headers);
                Scheme::Dpop
            }
            None => Scheme::Bearer,
        };
        let challenge = token_challenge(status, headers, scheme)?;
        let asks_for_nonce = scheme == Scheme::Dpop && DpopKey::asks_for_nonce(status, headers);
        Some(Refusal { status, challenge, asks_for_nonce })
    }

    /// Returns the token that the request bears.
    #[cfg(feature = "rmcp")]
    pub(crate) const fn token(&self) -> Option<&AccessToken> {
        self.token.as_ref()
    }

    /// Obtains the token with which the request is to be repeated; `false` if it is not to be repeated.
    ///
    /// One exchange and one step-up are made for a request. A token that another request has replaced in the meantime costs neither, and
    /// a proof with another nonce needs no other token.
    ///
    /// # Errors
    /// [`AcquireError`] if there is no token to repeat it with.
    pub(crate) async fn recover(&mut self, manager: &TokenManager, refusal: &Refusal) -> Result<bool, AcquireError> {
        if refusal.asks_for_nonce && self.token.is_some() {
            // Whatever is asked again: the token is not refused.
            return Ok(!std::mem::replace(&mut self.nonce_was_asked, true));
        }
        let challenge = &refusal.challenge;
        let next = match (refusal.status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => {
                if self.renewed {
                    return Ok(false);
                }
                self.renewed = true;
                manager.challenged(challenge).await?
            }
            (StatusCode::UNAUTHORIZED, Some(token)) => {
                if is_superseded(manager, token) && self.adoptions < ADOPTIONS {
                    self.adoptions += 1;
                } else if self.renewed {
                    return Ok(false);
                } else {
                    self.renewed = true;
                }
                manager.rejected(token, challenge).await?
            }
            (StatusCode::FORBIDDEN, Some(_)) => {
                let Some(scopes) = required_scopes(challenge).filter(|_| !self.stepped_up) else {
                    return Ok(false);
                };
                self.stepped_up = true;
                manager.acquire_for(&scopes).await?
            }
            (_, _) => return Ok(false),
        };
        // The resource answers the same token in the same way.
        let is_other =
            self.token.as_ref().is_none_or(|token| token.generation() != next.generation() || !same_text(token, &next));
        self.token = Some(next);
        Ok(is_other)
    }

    /// Reports that the resource refused the token of a request that cannot be repeated: the next request bears another one.
    pub(crate) fn give_up(&self, manager: &TokenManager, refusal: &Refusal) {
        if let (StatusCode::UNAUTHORIZED, false, Some(token)) = (refusal.status, refusal.asks_for_nonce, &self.token) {
            manager.invalidate_if(token);
        }
    }
}

fn is_superseded(manager: &TokenManager, token: &AccessToken) -> bool {
    manager.snapshot().generation.is_some_and(|current| current > token.generation())
}

fn same_text(one: &AccessToken, other: &AccessToken) -> bool {
    one.token().fingerprint() == other.token().fingerprint()
}

/// Returns the scopes that a challenge `insufficient_scope` names.
fn required_scopes(challenge: &Challenge) -> Option<ScopeSet> {
    if challenge.param("error") != Some("insufficient_scope") {
        return None;
    }
    let scopes = ScopeSet::parse(challenge.param("scope")?).ok()?;
    (!scopes.is_empty()).then_some(scopes)
}

/// The scheme by which a request presents its token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
}

impl Scheme {
    /// Reports whether a challenge is about tokens that are presented by this scheme. A resource that accepts key-bound tokens may challenge
    /// by `Bearer` as well.
    fn matches(self, challenge: &Challenge) -> bool {
        challenge.is_bearer() || self == Self::Dpop && challenge.scheme().eq_ignore_ascii_case("DPoP")
    }
}

/// The mark of a response that another origin than that of the resource gave, after a redirect: it says nothing about the token.
#[cfg(feature = "reqwest")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromElsewhere;

/// Returns the challenge of a response with the status 401 or 403 that is about tokens.
fn token_challenge(status: StatusCode, headers: &HeaderMap, scheme: Scheme) -> Option<Challenge> {
    if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return None;
    }
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
    values.filter_map(|value| value.to_str().ok()).find_map(|value| token_challenge_in(value, scheme))
}

/// Returns the challenge about tokens in the value of a header `WWW-Authenticate`.
///
/// A malformed value that begins with `Bearer` is taken for a challenge without parameters: real servers forget quotes, and a new token
/// helps as well.
pub(crate) fn token_challenge_in(value: &str, scheme: Scheme) -> Option<Challenge> {
    match Challenge::parse(value) {
        Ok(challenges) => challenges.into_iter().find(|challenge| scheme.matches(challenge)),
        Err(error) => {
            let first = value.split([' ', ',']).next().unwrap_or_default();
            tracing::debug!(%error, "a malformed WWW-Authenticate header");
            first.eq_ignore_ascii_case("Bearer").then(Challenge::bearer)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::WWW_AUTHENTICATE};

    use super::*;

    fn found(status: StatusCode, values: &[&'static str]) -> Option<String> {
        let values = values.iter().map(|value| (WWW_AUTHENTICATE, HeaderValue::from_static(value)));
        token_challenge(status, &values.collect(), Scheme::Bearer).map(|challenge| challenge.to_string())
    }

    #[test]
    fn cl_04_the_bearer_challenge_is_found_among_others() {
        let challenge = Some(r#"Bearer error="invalid_token""#.to_owned());
        for values in [
            &["Bearer error=invalid_token"][..],
            &["Basic realm=\"a\", Bearer error=\"invalid_token\""],
            &["Negotiate", "bearer error=\"invalid_token\""],
        ] {
            let found = found(StatusCode::UNAUTHORIZED, values);
            assert_eq!(found.map(|text| text.replace("bearer", "Bearer")), challenge, "{values:?}");
        }
        assert_eq!(found(StatusCode::UNAUTHORIZED, &["Bearer realm=\"open"]), Some("Bearer".to_owned()));
    }

    #[test]
    fn other_responses_have_no_bearer_challenge() {
        assert_eq!(found(StatusCode::UNAUTHORIZED, &[]), None);
        assert_eq!(found(StatusCode::UNAUTHORIZED, &["Basic realm=\"a\"", "Basic realm=\"Bearer"]), None);
        assert_eq!(found(StatusCode::UNAUTHORIZED, &["DPoP algs=\"ES256\""]), None);
        assert_eq!(found(StatusCode::OK, &["Bearer"]), None);
        assert_eq!(found(StatusCode::NOT_FOUND, &["Bearer"]), None);
    }
}
