//! [`AuthConfig`]: the configuration of [`AuthLayer`](crate::AuthLayer).

use std::{sync::Arc, time::Duration};

use portcullis_core::{Clock, ScopeSet, SystemClock};
use portcullis_oauth::protected_resource::ProtectedResourceMetadata;

use crate::{scope::ScopeHierarchy, session::SessionBinding};

/// The configuration of [`AuthLayer`](crate::AuthLayer). The metadata and the verifier are required, the rest has defaults.
///
/// ```
/// # use std::{future::{Ready, ready}, sync::Arc, task::{Context, Poll}};
/// # use portcullis_core::{AuthError, BearerToken, UserContext};
/// # #[derive(Clone)] struct Verifier;
/// # impl tower_service::Service<BearerToken> for Verifier {
/// #     type Response = Arc<UserContext>; type Error = AuthError; type Future = Ready<Result<Arc<UserContext>, AuthError>>;
/// #     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> { Poll::Ready(Ok(())) }
/// #     fn call(&mut self, _: BearerToken) -> Self::Future { ready(Err(portcullis_core::Reason::Inactive.into())) }
/// # }
/// # let verifier = Verifier;
/// use portcullis_core::{Issuer, ResourceUri, ScopeSet};
/// use portcullis_layer::{AuthConfig, AuthLayer};
/// use portcullis_oauth::protected_resource::ProtectedResourceMetadata;
///
/// let resource = ResourceUri::new("https://mcp.example.com/mcp")?;
/// let metadata = ProtectedResourceMetadata::new(resource, Issuer::new("https://idp.example.com")?);
/// let cfg = AuthConfig::new(metadata, verifier).with_required_scopes(ScopeSet::parse("mcp:use")?);
/// let layer = AuthLayer::new(cfg);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AuthConfig<V> {
    pub(crate) metadata: ProtectedResourceMetadata,
    pub(super) verifier: V,
    pub(super) required_scopes: ScopeSet,
    pub(super) scope_hierarchy: ScopeHierarchy,
    pub(super) challenge_scopes: Option<ScopeSet>,
    pub(super) open_paths: Vec<Box<str>>,
    /// `None` if sessions are not bound.
    pub(crate) session_binding: Option<SessionBinding>,
    pub(super) stream_lifetime: StreamLifetime,
    pub(super) stream_check_interval: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// The lifetime of a response stream (`text/event-stream`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum StreamLifetime {
    /// The stream ends when the token that opened it expires, is revoked or is rejected. The end is not an error: the client reconnects
    /// with a new token.
    ///
    /// The token is verified again whenever the user context is no longer
    /// [fresh](portcullis_core::UserContext::fresh_until), that is, when the time to live of its cache entry has passed: a token
    /// that was revoked at its issuer ends its streams no later than its requests. While the verifier is unavailable the
    /// stream continues for at most 5 minutes, and verification is repeated after pauses.
    ///
    /// If the token has already expired (it was accepted by leeway, or expired during the request), the stream ends after a minute.
    #[default]
    UntilTokenExpiry,
    /// The stream continues until the server or the client ends it, even after the token has expired.
    Unlimited,
}

impl<V> AuthConfig<V> {
    /// Creates a configuration for the resource that `metadata` describes. `verifier` must accept only tokens issued for that resource.
    #[must_use]
    pub fn new(metadata: ProtectedResourceMetadata, verifier: V) -> Self {
        Self {
            metadata,
            verifier,
            required_scopes: ScopeSet::default(),
            scope_hierarchy: ScopeHierarchy::default(),
            challenge_scopes: None,
            open_paths: Vec::new(),
            session_binding: Some(SessionBinding::new()),
            stream_lifetime: StreamLifetime::default(),
            stream_check_interval: Duration::from_mins(5),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Sets the scopes that every request needs. Default: none.
    #[must_use]
    pub fn with_required_scopes(mut self, scopes: ScopeSet) -> Self {
        self.required_scopes = scopes;
        self
    }

    /// Sets which scopes imply others when the required scopes are checked. Default: no implications.
    #[must_use]
    pub fn with_scope_hierarchy(mut self, hierarchy: ScopeHierarchy) -> Self {
        self.scope_hierarchy = hierarchy;
        self
    }

    /// Sets the scopes in the first challenge, which the client should request. Default: the required scopes.
    #[must_use]
    pub fn with_challenge_scopes(mut self, scopes: ScopeSet) -> Self {
        self.challenge_scopes = Some(scopes);
        self
    }

    /// Adds a path that is served without a token. The path is compared as it is written in the request. Default: none.
    ///
    /// Prefer to mount public routes outside the layer. Never add the path of an MCP endpoint.
    #[must_use]
    pub fn with_open_path(mut self, path: &str) -> Self {
        self.open_paths.push(path.into());
        self
    }

    /// Sets how sessions are bound to users. Default: [`SessionBinding::new`].
    #[must_use]
    pub fn with_session_binding(mut self, binding: SessionBinding) -> Self {
        self.session_binding = Some(binding);
        self
    }

    /// Sets the lifetime of response streams. Default: [`StreamLifetime::UntilTokenExpiry`].
    #[must_use]
    pub const fn with_stream_lifetime(mut self, life: StreamLifetime) -> Self {
        self.stream_lifetime = life;
        self
    }

    /// Sets the interval at which the token of a response stream is verified again if the verifier has no cache. Each stream then causes
    /// its own calls. Default: 5 minutes.
    #[must_use]
    pub const fn with_stream_check_interval(mut self, interval: Duration) -> Self {
        self.stream_check_interval = interval;
        self
    }

    /// Sets the clock that the ends of streams are compared with. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Replaces the verifier by one that `map` builds from it, for example by a layer around it.
    #[must_use]
    pub fn map_verifier<W>(self, map: impl FnOnce(V) -> W) -> AuthConfig<W> {
        AuthConfig {
            metadata: self.metadata,
            verifier: map(self.verifier),
            required_scopes: self.required_scopes,
            scope_hierarchy: self.scope_hierarchy,
            challenge_scopes: self.challenge_scopes,
            open_paths: self.open_paths,
            session_binding: self.session_binding,
            stream_lifetime: self.stream_lifetime,
            stream_check_interval: self.stream_check_interval,
            clock: self.clock,
        }
    }

    /// Returns the metadata of the resource.
    #[must_use]
    pub const fn metadata(&self) -> &ProtectedResourceMetadata {
        &self.metadata
    }

    /// Returns the verifier.
    #[must_use]
    pub const fn verifier(&self) -> &V {
        &self.verifier
    }
}
