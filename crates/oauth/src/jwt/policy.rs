//! [`JwtPolicy`]: which JWTs of an issuer are access tokens for us.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason, ResourceUri, UnixTime};

use super::{
    Algorithm, HeaderCheckedJwt, SignedJwt, UnverifiedJwt,
    header_policy::{HeaderPolicy, JwtPurpose},
};
use crate::{
    Claims, InvalidClaim, Verified,
    audience::Audience,
    lifetime::{MAX_LEEWAY, check_lifetime},
    stated_type::check_untyped,
    subject::SubjectRule,
};

/// Which JWTs of one issuer are access tokens for one resource.
///
/// The header must
/// 1. not ask for decryption or decompression (`enc`, `zip`), nor for extensions (`crit`, `b64`);
/// 2. not bring a key or say where to get one (`jwk`, `jku`, `x5c`, `x5u`);
/// 3. name an algorithm of the allow-list;
/// 4. say that this is an access token (`typ`).
///
/// The claims must
/// 5. come from exactly this issuer (`iss`);
/// 6. be meant for this resource (`aud`);
/// 7. be valid now (`exp` is required; `nbf` and `iat` count if present);
/// 8. say of whom they speak (`sub`, or [another claim](Self::with_subject_claim));
/// 9. not be bound to a key (`cnf`), because nobody checks its possession here.
///
/// [RFC 9068 section 4](https://www.rfc-editor.org/rfc/rfc9068#section-4),
/// [RFC 8725 section 3](https://www.rfc-editor.org/rfc/rfc8725#section-3). It does **not** look at scopes, at `jti`, or
/// whether the token was revoked.
///
/// ```
/// use portcullis_core::{Issuer, ResourceUri};
/// use portcullis_oauth::jwt::{Algorithm, JwtPolicy};
///
/// let issuer = Issuer::new("https://idp.example.com")?;
/// let resource = ResourceUri::new("https://mcp.example.com/mcp")?;
/// let policy = JwtPolicy::new(issuer, resource).with_algorithms([Algorithm::Es256]);
/// assert_eq!(policy.max_len(), 16 * 1024);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct JwtPolicy {
    issuer: Issuer,
    audience: Audience,
    header: HeaderPolicy,
    subject: SubjectRule,
    leeway: Duration,
    max_len: usize,
}

impl JwtPolicy {
    /// Access tokens of `issuer` for `resource`, with the strictest defaults.
    #[must_use]
    pub fn new(issuer: Issuer, resource: ResourceUri) -> Self {
        Self {
            issuer,
            audience: Audience::Resource(resource),
            header: HeaderPolicy::new(JwtPurpose::AccessToken, "at+jwt"),
            subject: SubjectRule::new(),
            leeway: Duration::from_secs(60),
            max_len: 16 * 1024,
        }
    }

    /// What the issuer calls the resource in `aud`, instead of the resource's URI, compared as strings. Default: the URI.
    ///
    /// For issuers without resource indicators (RFC 8707). Whoever else is called so gets tokens that are good here.
    #[must_use]
    pub fn with_audiences<I: IntoIterator<Item: Into<Box<str>>>>(mut self, audiences: I) -> Self {
        self.audience = self.audience.renamed(audiences);
        self
    }

    /// The algorithms that the issuer signs by. Default: every [`Algorithm`]; each is bound to a type of key.
    #[must_use]
    pub fn with_algorithms<I: IntoIterator<Item = Algorithm>>(mut self, algorithms: I) -> Self {
        self.header = self.header.with_algorithms(algorithms);
        self
    }

    /// What `typ` may be, in any case, with or without `application/` before it. Default: `at+jwt` alone.
    #[must_use]
    pub fn with_token_types<I: IntoIterator<Item: AsRef<str>>>(mut self, types: I) -> Self {
        self.header = self.header.with_token_types(types);
        self
    }

    /// Also accepts a `typ` of `JWT`, or none: for issuers that do not say what their tokens are for, such as Keycloak
    /// and Entra ID. Default: refused.
    ///
    /// Then the header does not tell an access token from the other tokens of the issuer, and the claims have to. Refused are
    /// 1. ID tokens, by `at_hash`, `c_hash` or `s_hash`, or by a `nonce` in a token that does not state that it is an access token
    ///    (Keycloak before 25 writes `nonce` into access tokens, with `typ` of `Bearer`);
    /// 2. logout tokens and security event tokens, by `events`;
    /// 3. whatever states another type in the claims `typ` (Keycloak: `Refresh`, `Offline`, `ID`, `Logout`), `token_use` (Cognito:
    ///    `id`) or `token_type`. Of access tokens are `Bearer`, `access`, `access_token`, `at+jwt`, and the
    ///    [token types](Self::with_token_types).
    ///
    /// What has none of these marks is accepted, an ID token too: then only `aud` keeps it out.
    /// [RFC 8725 section 3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11)
    #[must_use]
    pub fn with_untyped_tokens(mut self) -> Self {
        self.header = self.header.with_untyped_tokens();
        self
    }

    /// The claim that names the user, instead of `sub`: for issuers whose tokens have none, such as Keycloak 25 and newer without the
    /// client scope `basic`, and PingFederate. Default: `sub`.
    ///
    /// It must be unique within the issuer, never reassigned, and not chosen by the user. A token in which it is absent, empty or
    /// not a string is refused, whatever else it has.
    #[must_use]
    pub fn with_subject_claim(mut self, claim: &str) -> Self {
        self.subject = self.subject.with_claim(claim);
        self
    }

    /// States that a token without subject is that of a client acting for itself, which its `client_id` (`azp`) names, if no claim
    /// speaks of a user. Default: refused.
    ///
    /// For issuers that leave `sub` out of the tokens of the grant `client_credentials`. Where they leave it out of those of users as
    /// well, all users of a client would be one principal.
    #[must_use]
    pub fn with_clients_without_subject(mut self) -> Self {
        self.subject = self.subject.with_clients();
        self
    }

    /// How far the issuer's clock may be from ours. Default: one minute, which covers machines that synchronize their
    /// clocks at all; at most five minutes, because it prolongs every token.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// The longest token that is looked at, in bytes. Default: 16 KiB, twice the room most servers give all headers.
    #[must_use]
    pub const fn with_max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    /// Whose tokens.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The longest token that is looked at, in bytes.
    #[must_use]
    pub const fn max_len(&self) -> usize {
        self.max_len
    }

    /// Judges the header: rules 1 to 4. No cryptography is done for a token that fails.
    ///
    /// # Errors
    /// [`Reason::EncryptedToken`], [`Reason::CriticalHeader`], [`Reason::EmbeddedKey`], [`Reason::AlgorithmRefused`],
    /// [`Reason::WrongType`]; [`Reason::MalformedToken`] if `kid` is not a string.
    pub fn check_header(&self, jwt: UnverifiedJwt) -> Result<HeaderCheckedJwt, AuthError> {
        self.header.check_header(jwt)
    }

    /// Checks the claims at the instant `now`: rules 5 to 9.
    ///
    /// # Errors
    /// [`Reason::WrongIssuer`], [`Reason::WrongAudience`], [`Reason::WrongType`], [`Reason::Expired`],
    /// [`Reason::NotYetValid`], [`Reason::IssuedInFuture`], [`Reason::NoSubject`], [`Reason::KeyBound`], and
    /// [`Reason::MissingClaim`] for another claim that must be there or cannot be read.
    pub fn check(&self, jwt: SignedJwt, now: UnixTime) -> Result<Verified<Claims>, AuthError> {
        let claims = jwt.into_claims(JwtPurpose::AccessToken)?;
        if claims.issuer()?.ok_or(InvalidClaim("iss"))? != self.issuer.as_str() {
            return Err(AuthError::new(Reason::WrongIssuer));
        }
        let audience = claims.audience()?;
        if audience.is_empty() {
            return Err(InvalidClaim("aud").into());
        }
        if !audience.iter().any(|audience| self.audience.is_named_by(audience)) {
            return Err(AuthError::new(Reason::WrongAudience));
        }
        if self.header.is_untyped_accepted() {
            check_untyped(&claims, self.header.token_types())?;
        }
        claims.expires_at()?.ok_or(InvalidClaim("exp"))?;
        check_lifetime(&claims, now, self.leeway)?;
        let subject = self.subject.subject_of(&self.issuer, &claims)?;
        if claims.claim("cnf").is_some() {
            return Err(AuthError::new(Reason::KeyBound));
        }
        Ok(Verified::assertion(self.issuer.clone(), subject, claims))
    }
}
