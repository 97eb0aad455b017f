//! [`IssuerRouter`]: passes a token to the verifier of its issuer.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, InvalidUri, Issuer, Reason, UserContext, VerifyToken};
use portcullis_oauth::jwt::UnverifiedJwt;
use tower::{ServiceExt as _, util::BoxCloneSyncService};
use tower_service::Service;

use crate::refusal_log::RefusalLog;

/// The default limit for the length of a token in bytes: twice the limit of most servers for all headers of a request.
pub(crate) const DEFAULT_MAX_LEN: usize = 16 * 1024;

type Verifier = BoxCloneSyncService<BearerToken, Arc<UserContext>, AuthError>;

/// Passes a token to the verifier of its issuer.
///
/// 1. The size of the token is checked first.
/// 2. A token in the form of a JWT is passed to the verifier of the issuer that it names (`iss`). If that verifier refuses it, no other
///    verifier is called. An unknown issuer is [`Reason::UnknownIssuer`].
/// 3. Any other token is opaque and is passed to the one verifier for opaque tokens; without one it is
///    [`Reason::MalformedToken`].
///
/// A refusal that a new token of the issuer would get as well (another audience, another type, an unknown issuer) is a warning in the log, at
/// most one in ten minutes for each issuer and reason, with what was found, what is accepted and the key to set.
///
/// The `iss` read here is unverified and only selects the verifier, which checks it again. The issuer of the returned user
/// must be the selected one, whatever the verifier is, else the result is [`Reason::WrongIssuer`].
///
/// ```
/// use std::sync::Arc;
///
/// use portcullis_core::{AuthError, BearerToken, Issuer, Reason, UserContext};
/// use portcullis_verify::{ConfigError, IssuerRouter};
/// use tower::{ServiceExt as _, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let idp = Issuer::new("https://idp.example.com")?;
/// let verifier = service_fn(|_: BearerToken| async { Err::<Arc<UserContext>, _>(AuthError::new(Reason::Inactive)) });
/// let issuers = IssuerRouter::builder().with_issuer(idp.clone(), verifier).build()?;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let opaque = BearerToken::new("no-jwt")?;
/// assert_eq!(issuers.oneshot(opaque).await.unwrap_err().reason(), Reason::MalformedToken);
/// # Ok::<(), portcullis_core::InvalidBearerToken>(())
/// # })?;
///
/// let twice = IssuerRouter::builder().with_issuer(idp.clone(), verifier).with_opaque_issuer(idp.clone(), verifier);
/// assert_eq!(twice.build().unwrap_err(), ConfigError::DuplicateIssuer(idp));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct IssuerRouter {
    verifiers: Arc<HashMap<Issuer, Verifier>>,
    opaque: Option<Issuer>,
    max_len: usize,
    log: RefusalLog,
}

/// Builder of an [`IssuerRouter`], made by [`IssuerRouter::builder`].
#[must_use]
pub struct IssuerRouterBuilder {
    verifiers: Vec<(Issuer, Verifier)>,
    opaque: Vec<Issuer>,
    max_len: usize,
}

/// An invalid configuration of verifiers, found at start.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no issuer: every token would be refused.
    #[error("no issuer is configured")]
    NoIssuer,
    /// There are two verifiers for one issuer.
    #[error("the issuer {0} is configured twice")]
    DuplicateIssuer(Issuer),
    /// There are two verifiers for opaque tokens, which do not name their issuer.
    #[error("both {0} and {1} are configured for opaque tokens, which do not name their issuer")]
    TwoForOpaqueTokens(Issuer, Issuer),
    /// A provider whose vendor has no token check.
    #[error("the provider {0} cannot be asked whether a token was issued to this app")]
    NoTokenCheck(&'static str),
    /// An issuer from which the URLs of its endpoints cannot be derived.
    #[error("the URLs of the provider's endpoints cannot be derived from its issuer: {0}")]
    InvalidIssuer(InvalidUri),
    /// The profile is requested from one issuer, and the audience checked by another.
    #[error("the users are those of {user_info}, but the audience is checked with {audience_check}")]
    DifferentIssuers {
        /// The issuer of the UserInfo endpoint.
        user_info: Issuer,
        /// The issuer of the audience check.
        audience_check: Issuer,
    },
}

impl IssuerRouter {
    /// Returns a builder without issuers.
    pub const fn builder() -> IssuerRouterBuilder {
        IssuerRouterBuilder { verifiers: Vec::new(), opaque: Vec::new(), max_len: DEFAULT_MAX_LEN }
    }

    /// Returns the issuers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.verifiers.keys()
    }

    fn select(&self, token: &BearerToken) -> Result<(&Issuer, &Verifier), AuthError> {
        if token.len() > self.max_len {
            return Err(AuthError::new(Reason::TokenTooLarge));
        }
        if !UnverifiedJwt::is_likely(token) {
            let verifier = self.opaque.as_ref().and_then(|issuer| self.verifiers.get_key_value(issuer));
            return verifier.ok_or_else(|| self.refused("", Reason::MalformedToken, NO_OPAQUE));
        }
        let jwt = UnverifiedJwt::parse(token, self.max_len).inspect_err(|error| self.log.refused("", error))?;
        let name = jwt.claimed_issuer().inspect_err(|error| self.log.refused("", error))?;
        self.verifiers.get_key_value(name).ok_or_else(|| {
            let mut accepted: Vec<_> = self.verifiers.keys().map(Issuer::as_str).collect();
            accepted.sort_unstable();
            accepted.truncate(5);
            let problem =
                format!("the token names an issuer that is not configured; accepted is one of {accepted:?} (`issuer`)");
            self.refused(name, Reason::UnknownIssuer, problem)
        })
    }

    fn refused(&self, issuer: &str, reason: Reason, problem: impl Into<String>) -> AuthError {
        let error = AuthError::new(reason).with_source(problem.into());
        self.log.refused(issuer, &error);
        error
    }
}

/// The problem with an opaque token.
const NO_OPAQUE: &str =
    "the token is not a JWT, and no issuer of opaque tokens is configured (`verify = \"introspection\"`)";

impl IssuerRouterBuilder {
    /// Passes JWTs of `issuer` to `verifier`.
    pub fn with_issuer<V>(mut self, issuer: Issuer, verifier: V) -> Self
    where
        V: VerifyToken + Clone + Send + Sync + 'static,
        V::Future: Send + 'static,
    {
        self.verifiers.push((issuer, BoxCloneSyncService::new(verifier)));
        self
    }

    /// Passes opaque tokens, and JWTs of `issuer`, to `verifier`.
    pub fn with_opaque_issuer<V>(mut self, issuer: Issuer, verifier: V) -> Self
    where
        V: VerifyToken + Clone + Send + Sync + 'static,
        V::Future: Send + 'static,
    {
        self.opaque.push(issuer.clone());
        self.with_issuer(issuer, verifier)
    }

    /// Sets the longest accepted token in bytes. Default: 16 KiB.
    pub const fn with_max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    /// Builds the router.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no issuer, an issuer twice, or more than one for opaque tokens.
    pub fn build(self) -> Result<IssuerRouter, ConfigError> {
        let mut verifiers = HashMap::new();
        for (issuer, verifier) in self.verifiers {
            match verifiers.entry(issuer) {
                Entry::Vacant(entry) => entry.insert(verifier),
                Entry::Occupied(entry) => return Err(ConfigError::DuplicateIssuer(entry.key().clone())),
            };
        }
        if verifiers.is_empty() {
            return Err(ConfigError::NoIssuer);
        }
        let mut opaque = self.opaque.into_iter();
        match (opaque.next(), opaque.next()) {
            (Some(first), Some(second)) => Err(ConfigError::TwoForOpaqueTokens(first, second)),
            (opaque, _) => Ok(IssuerRouter {
                verifiers: Arc::new(verifiers),
                opaque,
                max_len: self.max_len,
                log: RefusalLog::new(),
            }),
        }
    }
}

impl Service<BearerToken> for IssuerRouter {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Arc<UserContext>, AuthError>> + Send>>;

    /// Always ready: the verifier is only known with the token.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (issuer, verifier) = this.select(&token)?;
            let log = |error: &AuthError| this.log.refused(issuer.as_str(), error);
            let user = verifier.clone().oneshot(token).await.inspect_err(log)?;
            if user.issuer() != issuer {
                let problem = format!("the verifier of {issuer} states a user of {}", user.issuer());
                return Err(this.refused(issuer.as_str(), Reason::WrongIssuer, problem));
            }
            this.log.accepted(issuer, &user);
            Ok(user)
        })
    }
}

impl fmt::Debug for IssuerRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerRouter")
            .field("issuers", &self.verifiers.keys())
            .field("opaque", &self.opaque)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuerRouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> = self.verifiers.iter().map(|(issuer, _)| issuer).collect();
        f.debug_struct("IssuerRouterBuilder")
            .field("issuers", &issuers)
            .field("opaque", &self.opaque)
            .finish_non_exhaustive()
    }
}
