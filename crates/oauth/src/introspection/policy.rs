//! [`IntrospectionPolicy`]: the rules by which an active token is an access token for this resource.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason, ResourceUri, UnixTime};

use super::IntrospectionResponse;
use crate::{
    Claims, InvalidClaim, Verified,
    claims_checks::Audience,
    claims_checks::{MAX_LEEWAY, check_lifetime},
    stated_type::check_stated_type,
    subject::SubjectRule,
};

/// The rules by which an active token of one issuer is an access token for one resource.
///
/// The token must
/// 1. be active;
/// 2. be an access token of type `Bearer`, if the response says of which type (`token_type`, `token_use`, `typ`);
/// 3. not be bound to a key (`cnf`), because proof of possession is not checked here;
/// 4. come from exactly this issuer, if the response names one (`iss`);
/// 5. be issued for this resource (`aud`);
/// 6. be valid now (`exp`, `nbf` and `iat` count if present);
/// 7. name its subject (`sub`, or [another member](Self::with_subject_claim)). A response without `sub`, which
///    [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2) allows, names no user, and the client that it may name is
///    not the user.
///
/// [RFC 7662 section 4](https://www.rfc-editor.org/rfc/rfc7662#section-4). It does **not** check scopes.
///
/// ```
/// use bytes::Bytes;
/// use http::Response;
/// use portcullis_core::{Issuer, Reason, ResourceUri, UnixTime};
/// use portcullis_oauth::introspection::{IntrospectionPolicy, process};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let resource = ResourceUri::new("https://mcp.example.com/mcp")?;
/// let policy = IntrospectionPolicy::new(Issuer::new("https://idp.example.com")?, resource);
/// let check = |body: &'static str| {
///     let response = Response::builder().header("content-type", "application/json").body(Bytes::from_static(body.as_bytes()));
///     policy.check(process(&response.unwrap()).unwrap(), UnixTime::from_secs(1_800_000_000))
/// };
/// let ours = check(r#"{"active":true,"sub":"alice","aud":"https://mcp.example.com/mcp"}"#)?;
/// assert_eq!(ours.as_ref().subject()?, Some("alice"));
/// let foreign = check(r#"{"active":true,"sub":"alice","aud":"https://other.example.com"}"#);
/// assert_eq!(foreign.unwrap_err().reason(), Reason::WrongAudience);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct IntrospectionPolicy {
    issuer: Issuer,
    audience: Audience,
    restricted_by_endpoint: bool,
    subject: SubjectRule,
    leeway: Duration,
}

impl IntrospectionPolicy {
    /// Creates a policy for tokens of `issuer` for `resource`, with the strictest defaults.
    #[must_use]
    pub const fn new(issuer: Issuer, resource: ResourceUri) -> Self {
        Self {
            issuer,
            audience: Audience::Resource(resource),
            restricted_by_endpoint: false,
            subject: SubjectRule::new(),
            leeway: Duration::from_secs(60),
        }
    }

    /// Sets the names of the resource in `aud`, instead of the resource's URI. They are compared as strings. Default: the URI.
    ///
    /// For issuers without resource indicators (RFC 8707). Tokens for any other resource with the same name are accepted here.
    #[must_use]
    pub fn with_audiences<I: IntoIterator<Item: Into<Box<str>>>>(mut self, audiences: I) -> Self {
        self.audience = self.audience.renamed(audiences);
        self
    }

    /// States that the introspection endpoint returns `active` only for tokens that were issued for the requesting client, so that a
    /// response without `aud` is accepted. Default: such a response is rejected.
    ///
    /// [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2) allows an endpoint to do so; few do, and it cannot be
    /// detected here. If it is not true, every token of the issuer is accepted. An `aud` that names another resource is rejected in any case.
    #[must_use]
    pub const fn with_audience_restricted_by_endpoint(mut self) -> Self {
        self.restricted_by_endpoint = true;
        self
    }

    /// Sets the member that names the user, instead of `sub`: for authorization servers whose responses lack `sub`, such as
    /// `django-oauth-toolkit`, whose responses have `username`. Default: `sub`.
    ///
    /// Its value must be unique within the issuer, never reassigned, and not chosen by the user. A response in which it is absent, empty
    /// or not a string is rejected, whatever other members it has.
    #[must_use]
    pub fn with_subject_claim(mut self, member: &str) -> Self {
        self.subject = self.subject.with_claim(member);
        self
    }

    /// States that a response without a subject is about a client that acts for itself and is named by `client_id` (`azp`), if no member
    /// describes a user. Default: such a response is rejected.
    ///
    /// If the endpoint omits `sub` for tokens of users as well, all users of a client become one principal.
    #[must_use]
    pub fn with_clients_without_subject(mut self) -> Self {
        self.subject = self.subject.with_clients();
        self
    }

    /// Sets the accepted difference between the issuer's clock and the local clock. Default: one minute; at most five, because it extends
    /// the lifetime of every token.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Returns the expected issuer.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Checks `response` at the instant `now`.
    ///
    /// # Errors
    /// [`Reason::Inactive`], [`Reason::WrongType`], [`Reason::KeyBound`], [`Reason::WrongIssuer`],
    /// [`Reason::WrongAudience`], [`Reason::Expired`], [`Reason::NotYetValid`], [`Reason::IssuedInFuture`],
    /// [`Reason::NoSubject`], and [`Reason::MissingClaim`] for another claim that must be there or cannot be read.
    pub fn check(&self, response: IntrospectionResponse, now: UnixTime) -> Result<Verified<Claims>, AuthError> {
        let Some(claims) = response.into_claims() else {
            return Err(AuthError::new(Reason::Inactive));
        };
        if claims.claim("cnf").is_some() {
            return Err(AuthError::new(Reason::KeyBound));
        }
        // Some endpoints call refresh tokens active as well.
        check_stated_type(&claims)?;
        if claims.issuer()?.is_some_and(|issuer| issuer != self.issuer.as_str()) {
            return Err(AuthError::new(Reason::WrongIssuer));
        }
        self.check_audience(&claims)?;
        check_lifetime(&claims, now, self.leeway)?;
        let subject = self.subject.subject_of(&self.issuer, &claims)?;
        Ok(Verified::assertion(self.issuer.clone(), subject, claims))
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), AuthError> {
        let audience = claims.audience()?;
        if audience.is_empty() {
            return if self.restricted_by_endpoint { Ok(()) } else { Err(InvalidClaim("aud").into()) };
        }
        if audience.iter().any(|name| self.audience.is_named_by(name)) {
            Ok(())
        } else {
            Err(AuthError::new(Reason::WrongAudience))
        }
    }
}
