//! [`JwtPolicy`]: the checks of JWT access tokens.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason, ResourceUri, ScopeSet, UnixTime};

use super::{
    Algorithm, HeaderCheckedJwt, SignedJwt, UnverifiedJwt,
    header::{HeaderPolicy, JwtPurpose},
};
use crate::{
    Claims, InvalidClaim, Verified,
    audience::{AudienceRule, quoted},
    claim_path::ScopeRule,
    claims_checks::{MAX_LEEWAY, check_lifetime, check_untyped, key_bound},
    subject::SubjectRule,
};

/// The policy for JWT access tokens of one issuer for one resource.
///
/// The header must
/// 1. not require decryption or decompression (`enc`, `zip`), nor extensions (`crit`, `b64`);
/// 2. not contain a key or the URL of one (`jwk`, `jku`, `x5c`, `x5u`);
/// 3. name an algorithm of the allow-list;
/// 4. declare an access token (`typ`).
///
/// The claims must
/// 5. be issued by exactly this issuer (`iss`);
/// 6. be intended for this resource (`aud`, or [another claim](Self::with_audience_claim));
/// 7. be valid now (`exp` is required; `nbf` and `iat` are checked if present);
/// 8. name the user (`sub`, or [another claim](Self::with_subject_claim));
/// 9. not be bound to a key (`cnf`), because its possession is not verified here.
///
/// [RFC 9068 section 4](https://www.rfc-editor.org/rfc/rfc9068#section-4),
/// [RFC 8725 section 3](https://www.rfc-editor.org/rfc/rfc8725#section-3). It does **not** check scopes, `jti`, or
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
    audience: AudienceRule,
    header: HeaderPolicy,
    subject: SubjectRule,
    scopes: ScopeRule,
    leeway: Duration,
    max_len: usize,
}

impl JwtPolicy {
    /// Creates a policy for access tokens of `issuer` for `resource`, with the strictest defaults.
    #[must_use]
    pub fn new(issuer: Issuer, resource: ResourceUri) -> Self {
        Self {
            issuer,
            audience: AudienceRule::new(resource),
            header: HeaderPolicy::new(JwtPurpose::AccessToken, "at+jwt"),
            subject: SubjectRule::new(),
            scopes: ScopeRule::default(),
            leeway: Duration::from_secs(60),
            max_len: 16 * 1024,
        }
    }

    /// Sets the names of the resource in `aud`, instead of the URI of the resource. They are compared as strings. Default: the URI.
    ///
    /// This is for issuers without resource indicators (RFC 8707). Tokens for every other resource with one of these names are accepted,
    /// too.
    #[must_use]
    pub fn with_audiences<I: IntoIterator<Item: Into<Box<str>>>>(mut self, audiences: I) -> Self {
        self.audience.set_names(audiences);
        self
    }

    /// Sets the claim that names this server in tokens without `aud`, such as `client_id` in those of Amazon Cognito, or the path of a
    /// member. Default: none, and a token without `aud` is rejected.
    ///
    /// Its value is compared with the [names](Self::with_audiences) of this server as a string, and must be equal to one of them also in a
    /// token with `aud`. An `aud` that names neither the resource nor one of these names is rejected in any case.
    #[must_use]
    pub fn with_audience_claim(mut self, claim: &str) -> Self {
        self.audience.set_claim(claim);
        self
    }

    /// Sets the clients whose tokens are accepted, by `client_id`, `azp`, `cid` or `appid`. Tokens of other clients are rejected, and
    /// tokens of these clients are accepted without `aud`. Default: the tokens of all clients, with `aud`.
    ///
    /// A token without `aud` is accepted by every server that lists the client: list clients of this server only.
    #[must_use]
    pub fn with_allowed_clients<I: IntoIterator<Item: Into<Box<str>>>>(mut self, clients: I) -> Self {
        self.audience.set_clients(clients);
        self
    }

    /// Adds a claim whose values are scopes, beside `scope` and `scp`: the roles or permissions of the user. Default: none.
    ///
    /// The claim is a name or the path of a member: `roles`, `permissions`, `realm_access.roles`. A string lists scopes as `scope` does. An
    /// element of an array that is not a scope name, such as one with a space, is ignored. Every role with the name of a scope then grants
    /// that scope.
    #[must_use]
    pub fn with_scope_claim(mut self, claim: &str) -> Self {
        self.scopes.add_claim(claim);
        self
    }

    /// Adds `scopes` to tokens whose `claim` is one of `values`, or a list with one of them: for roles that have other names than the scopes.
    /// A string is one value, also if it has spaces. Default: none.
    #[must_use]
    pub fn with_scopes_for<I: IntoIterator<Item: Into<Box<str>>>>(
        mut self,
        claim: &str,
        values: I,
        scopes: ScopeSet,
    ) -> Self {
        self.scopes.add_grant(claim, values.into_iter().map(Into::into).collect(), scopes);
        self
    }

    /// Sets the signature algorithms of the issuer. Default: every [`Algorithm`]; each is bound to a key type.
    #[must_use]
    pub fn with_algorithms<I: IntoIterator<Item = Algorithm>>(mut self, algorithms: I) -> Self {
        self.header = self.header.with_algorithms(algorithms);
        self
    }

    /// Sets the accepted values of `typ`. Their case and the prefix `application/` are ignored. Default: `at+jwt` only.
    #[must_use]
    pub fn with_token_types<I: IntoIterator<Item: AsRef<str>>>(mut self, types: I) -> Self {
        self.header = self.header.with_token_types(types);
        self
    }

    /// Also accepts a `typ` of `JWT`, or none, for issuers that do not declare the type of their tokens, such as Keycloak
    /// and Entra ID. Default: rejected.
    ///
    /// The header then does not distinguish access tokens from the other tokens of the issuer, so that the claims must. These tokens are
    /// rejected:
    /// 1. ID tokens, by `at_hash`, `c_hash` or `s_hash`, or by a `nonce` in a token that does not state that it is an access token
    ///    (Keycloak before 25 writes `nonce` into access tokens, with `typ` of `Bearer`);
    /// 2. logout tokens and security event tokens, by `events`;
    /// 3. tokens with another type in the claims `typ` (Keycloak: `Refresh`, `Offline`, `ID`, `Logout`), `token_use` (Cognito:
    ///    `id`) or `token_type`. The types of access tokens are `Bearer`, `access`, `access_token`, `at+jwt`, and the
    ///    [token types](Self::with_token_types).
    ///
    /// A token without any of these marks is accepted, even if it is an ID token: then only `aud` protects against it.
    /// [RFC 8725 section 3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11)
    #[must_use]
    pub fn with_untyped_tokens(mut self) -> Self {
        self.header = self.header.with_untyped_tokens();
        self
    }

    /// Sets the claim that names the user, instead of `sub`, for issuers whose tokens have no `sub`, such as Keycloak 25 and newer without
    /// the client scope `basic`, and PingFederate. Default: `sub`.
    ///
    /// The claim must be unique within the issuer, never reassigned, and not chosen by the user. A token in which it is absent, empty or
    /// not a string is rejected.
    #[must_use]
    pub fn with_subject_claim(mut self, claim: &str) -> Self {
        self.subject = self.subject.with_claim(claim);
        self
    }

    /// Accepts a token without subject as that of a client that acts for itself, named by `client_id` (`azp`), if no claim
    /// refers to a user. Default: rejected.
    ///
    /// This is for issuers that omit `sub` in tokens of the grant `client_credentials`. If an issuer omits it in the tokens of users as
    /// well, all users of a client would be one principal.
    #[must_use]
    pub fn with_clients_without_subject(mut self) -> Self {
        self.subject = self.subject.with_clients();
        self
    }

    /// Sets the tolerated clock difference. Default: one minute, which covers machines with synchronized clocks; at most five minutes,
    /// because it extends the lifetime of every token.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Sets the maximum length of a token in bytes. Default: 16 KiB, twice the limit that most servers have for all headers.
    #[must_use]
    pub const fn with_max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    /// Returns the expected issuer.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the maximum length of a token in bytes.
    #[must_use]
    pub const fn max_len(&self) -> usize {
        self.max_len
    }

    /// Checks the header: rules 1 to 4. No signature is verified if this fails.
    ///
    /// # Errors
    /// [`Reason::EncryptedToken`], [`Reason::CriticalHeader`], [`Reason::EmbeddedKey`], [`Reason::AlgorithmRefused`],
    /// [`Reason::WrongType`]; [`Reason::MalformedToken`] if `kid` is not a string.
    pub fn check_header(&self, jwt: UnverifiedJwt) -> Result<HeaderCheckedJwt, AuthError> {
        self.header.check_header(jwt)
    }

    /// Checks the claims at the time `now`: rules 5 to 9.
    ///
    /// # Errors
    /// [`Reason::WrongIssuer`], [`Reason::WrongAudience`], [`Reason::WrongType`], [`Reason::Expired`],
    /// [`Reason::NotYetValid`], [`Reason::IssuedInFuture`], [`Reason::NoSubject`], [`Reason::KeyBound`], and
    /// [`Reason::MissingClaim`] for another required claim that is missing, or a malformed one.
    pub fn check(&self, jwt: SignedJwt, now: UnixTime) -> Result<Verified<Claims>, AuthError> {
        let claims = jwt.into_claims(JwtPurpose::AccessToken)?;
        let issuer = claims.issuer()?.ok_or(InvalidClaim("iss"))?;
        if issuer != self.issuer.as_str() {
            let problem = format!("`iss` is {}; accepted is {:?} (`issuer`)", quoted(&[issuer]), self.issuer.as_str());
            return Err(AuthError::new(Reason::WrongIssuer).with_source(problem));
        }
        self.audience.check(&claims)?;
        if self.header.is_untyped_accepted() {
            check_untyped(&claims, self.header.token_types())?;
        }
        claims.expires_at()?.ok_or(InvalidClaim("exp"))?;
        check_lifetime(&claims, now, self.leeway)?;
        let subject = self.subject.subject_of(&self.issuer, &claims)?;
        if claims.claim("cnf").is_some() {
            return Err(key_bound());
        }
        let scopes = self.scopes.scopes(&claims);
        Ok(Verified::assertion(self.issuer.clone(), subject, claims).with_scopes(scopes))
    }
}
