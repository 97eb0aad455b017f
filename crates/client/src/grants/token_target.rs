//! [`TokenTarget`]: what tokens are for, and where they are requested; and [`FromFn`]: a grant that is a function.

use std::{fmt, future::Future};

use portcullis_core::{AuthError, Challenge, Issuer, Reason, ResourceUri, ScopeSet};
use portcullis_oauth::{TokenRequest, TokenResponse};
use secrecy::SecretString;

use crate::{Binding, Grant, GrantError, GrantErrorKind, GrantFuture, TokenEndpoint};

/// What the tokens of a grant are for, and where they are requested: a resource server, and the token endpoint of its authorization
/// server.
///
/// ```
/// use portcullis_client::{Issuer, ResourceUri, ScopeSet, TokenEndpoint, grants::TokenTarget};
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_oauth::ClientAuthentication;
///
/// let client = ClientAuthentication::basic("nightly-report", "secret from a file".into());
/// let issuer = Issuer::new("https://as.example.com")?;
/// let endpoint = TokenEndpoint::discovered(Egress::new(EgressConfig::new())?, issuer, client);
/// let target = TokenTarget::new(ResourceUri::new("https://mcp.example.com/mcp")?, endpoint)
///     .with_scopes(ScopeSet::parse("reports:read")?);
/// # drop(target);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenTarget {
    resource: ResourceUri,
    endpoint: TokenEndpoint,
    scopes: ScopeSet,
    subject: Option<Box<str>>,
}

impl TokenTarget {
    /// Creates a target without scopes and without a subject. Every token request names `resource`.
    #[must_use]
    pub fn new(resource: ResourceUri, endpoint: TokenEndpoint) -> Self {
        Self { resource, endpoint, scopes: ScopeSet::default(), subject: None }
    }

    /// Sets the scopes that are requested from the start. Default: none, and the authorization server decides.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the user or tenant for whom the tokens are, in the words of the application: the tokens of two users are kept apart.
    #[must_use]
    pub fn with_subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.into());
        self
    }

    pub(super) const fn resource(&self) -> &ResourceUri {
        &self.resource
    }

    pub(super) const fn endpoint(&self) -> &TokenEndpoint {
        &self.endpoint
    }

    pub(super) const fn issuer(&self) -> &Issuer {
        self.endpoint.issuer()
    }

    /// Returns the binding. A challenge changes nothing: the authorization server is configured.
    pub(super) fn binding(&self) -> Binding {
        let client_id = self.endpoint.client_id();
        let binding = Binding::new(self.resource.clone(), self.issuer().clone(), client_id);
        let binding = binding.with_scopes(self.scopes.clone());
        self.subject.iter().fold(binding, |binding, subject| binding.with_subject(subject))
    }

    /// Requests tokens for the resource, with all of `scopes`.
    pub(super) async fn obtain(&self, request: TokenRequest, scopes: &ScopeSet) -> Result<TokenResponse, GrantError> {
        self.endpoint.request(&request.with_scopes(scopes).with_resource(&self.resource)).await
    }

    /// Presents a refresh token for the resource. The scopes stay those of the grant.
    pub(super) async fn refresh(&self, refresh_token: &SecretString) -> Result<TokenResponse, GrantError> {
        self.obtain(TokenRequest::refresh_token(refresh_token), &ScopeSet::default()).await
    }
}

/// Returns the error of a request whose credential can be presented again: an unanswered request has spent nothing.
pub(super) fn reusable(error: GrantError) -> GrantError {
    match error.kind() {
        GrantErrorKind::Ambiguous => GrantError::transient(error.cause().clone()),
        _ => error,
    }
}

/// Returns the error of a request that no login of a user can repair.
pub(super) fn without_user(error: GrantError) -> GrantError {
    match error.kind() {
        GrantErrorKind::Refused => GrantError::misconfigured(AuthError::new(Reason::ClientRefused).with_source(error)),
        _ => error,
    }
}

/// Creates a grant whose tokens are those that `obtain` returns for the scopes that it is called with.
///
/// The function sends requests and nothing else: it neither caches nor retries. It is never called twice at a time, and a caller that goes
/// away does not cancel it. A refresh token in its response is dropped, because only the function knows how to present it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use portcullis_client::{Binding, Grant, Issuer, ResourceUri, ScopeSet, grants::from_fn};
/// use portcullis_core::BearerToken;
/// use portcullis_oauth::TokenResponse;
///
/// let resource = ResourceUri::new("https://mcp.example.com/mcp")?;
/// let binding = Binding::new(resource, Issuer::new("https://as.example.com")?, "my-agent");
/// let grant = from_fn(binding, |_scopes| async {
///     let token = BearerToken::new("from-the-platform").expect("a token");
///     Ok(TokenResponse::new(token))
/// });
/// let binding = grant.resolve(None).await?;
/// assert!(grant.obtain(&binding, &ScopeSet::default()).await.is_ok());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn from_fn<F, T>(binding: Binding, obtain: F) -> FromFn<F>
where
    F: Fn(ScopeSet) -> T + Send + Sync + 'static,
    T: Future<Output = Result<TokenResponse, GrantError>> + Send,
{
    FromFn { binding, obtain }
}

/// The grant of [`from_fn`].
#[derive(Clone)]
pub struct FromFn<F> {
    binding: Binding,
    obtain: F,
}

impl<F, T> Grant for FromFn<F>
where
    F: Fn(ScopeSet) -> T + Send + Sync + 'static,
    T: Future<Output = Result<TokenResponse, GrantError>> + Send,
{
    fn resource(&self) -> &ResourceUri {
        &self.binding.resource
    }

    fn name(&self) -> &'static str {
        "function"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async { Ok(self.binding.clone()) })
    }

    fn obtain<'a>(&'a self, _: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async {
            let mut tokens = (self.obtain)(scopes.clone()).await?;
            tokens.refresh_token = None;
            Ok(tokens)
        })
    }

    fn refresh<'a>(&'a self, _: &'a Binding, _: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async { Err(GrantError::refused("a function has no refresh tokens")) })
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").field("binding", &self.binding).finish_non_exhaustive()
    }
}
