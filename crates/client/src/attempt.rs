//! [`Attempt`]: what is done about a response that refuses the token of its request.

use http::{HeaderMap, StatusCode, header};
use portcullis_core::{AccessToken, Challenge, ScopeSet};

use crate::{AcquireError, TokenManager};

/// How many times a request may be repeated because its token had been replaced meanwhile, without an exchange for the request.
const ADOPTIONS: u8 = 2;

/// One request with the token that it bears, and with what was done for it so far.
#[derive(Debug)]
pub(crate) struct Attempt {
    token: Option<AccessToken>,
    adoptions: u8,
    /// A token was requested because the resource refused one, or wanted one.
    renewed: bool,
    /// Scopes were requested.
    stepped_up: bool,
}

impl Attempt {
    pub(crate) const fn new(token: Option<AccessToken>) -> Self {
        Self { token, adoptions: 0, renewed: false, stepped_up: false }
    }

    /// Returns the token that the request bears.
    pub(crate) const fn token(&self) -> Option<&AccessToken> {
        self.token.as_ref()
    }

    /// Obtains the token with which the request is to be repeated; `false` if it is not to be repeated.
    ///
    /// One exchange and one step-up are made for a request. A token that another request has replaced in the meantime costs neither.
    ///
    /// # Errors
    /// [`AcquireError`] if there is no token to repeat it with.
    pub(crate) async fn recover(
        &mut self,
        manager: &TokenManager,
        status: StatusCode,
        challenge: &Challenge,
    ) -> Result<bool, AcquireError> {
        let next = match (status, &self.token) {
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
    pub(crate) fn give_up(&self, manager: &TokenManager, status: StatusCode) {
        if let (StatusCode::UNAUTHORIZED, Some(token)) = (status, &self.token) {
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

/// Returns the challenge of a response with the status 401 or 403 that is about tokens.
pub(crate) fn token_challenge(status: StatusCode, headers: &HeaderMap, scheme: Scheme) -> Option<Challenge> {
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
