//! [`CredentialKey`]: the credential that a request presents.

use http::{Request, header::AUTHORIZATION};
use portcullis_core::{BearerToken, Fingerprint};

/// The credential that a request presents to a provider, by its hash: the token that is introspected, the refresh token or the
/// code that is redeemed, the token whose user is asked for.
///
/// The component that makes the request puts it into the extensions, because only that component knows which part of the request is the
/// credential. Without it, the bearer token of the `Authorization` header is the credential. Without that there is none: such
/// a request is the server's own.
///
/// ```
/// use portcullis_core::BearerToken;
/// use portcullis_egress::CredentialKey;
///
/// let token = BearerToken::new("the-token-to-be-introspected")?;
/// let request = http::Request::post("https://idp.example.com/introspect")
///     .extension(CredentialKey::new(token.fingerprint()))
///     .body("token=the-token-to-be-introspected")?;
/// # drop(request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CredentialKey(Fingerprint);

impl CredentialKey {
    /// Creates the key of the credential with this hash.
    #[must_use]
    pub const fn new(fingerprint: Fingerprint) -> Self {
        Self(fingerprint)
    }

    pub(super) const fn fingerprint(self) -> Fingerprint {
        self.0
    }
}

/// The credential that a request presents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presented {
    pub(super) credential: Option<Fingerprint>,
    /// Whether the request is made with a user's bearer token: a rate limit is then that user's.
    pub(super) is_bearer: bool,
}

impl Presented {
    pub(super) fn by<B>(request: &Request<B>) -> Self {
        let bearer = bearer(request);
        let named = request.extensions().get::<CredentialKey>().map(|CredentialKey(fingerprint)| *fingerprint);
        Self { credential: named.or(bearer), is_bearer: bearer.is_some() }
    }
}

fn bearer<B>(request: &Request<B>) -> Option<Fingerprint> {
    const SCHEME: &str = "Bearer ";
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_at_checked(SCHEME.len())?;
    // Providers issue tokens that the grammar of the scheme does not allow.
    let token = Some(token.trim_start()).filter(|_| scheme.eq_ignore_ascii_case(SCHEME));
    Some(BearerToken::issued(token?).ok()?.fingerprint())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(credentials: &str) -> Presented {
        Presented::by(&Request::get("/").header(AUTHORIZATION, credentials).body(()).expect("request"))
    }

    #[test]
    fn a_bearer_token_is_a_credential_and_other_schemes_are_not() {
        let token = |credentials| presented(credentials).credential;
        assert_eq!(token("Bearer a"), token("bearer   a"));
        assert_ne!(token("Bearer a"), token("Bearer b"));
        assert!(token("Bearer 00D!of.Salesforce").is_some());
        for credentials in ["Basic YTpi", "Bearer", "Bearer ", "DPoP abcdef"] {
            assert_eq!(token(credentials), None, "{credentials}");
        }
    }

    #[test]
    fn the_key_in_the_extensions_comes_first() {
        let key = CredentialKey::new(BearerToken::new("b").expect("token").fingerprint());
        let mut request =
            Request::get("/").header(AUTHORIZATION, "Basic YTpi").extension(key).body(()).expect("request");
        let presented = Presented::by(&request);
        assert_eq!((presented.credential, presented.is_bearer), (Some(key.0), false));
        request.headers_mut().insert(AUTHORIZATION, "Bearer a".parse().expect("value"));
        let presented = Presented::by(&request);
        assert_eq!((presented.credential, presented.is_bearer), (Some(key.0), true));
    }
}
