//! [`AuthConfig`]: what the gate guards, and how it decides.

use std::{sync::Arc, time::Duration};

use portcullis_core::{Clock, ScopeSet, SystemClock};
use portcullis_oauth::protected_resource::ProtectedResourceMetadata;

use crate::{scope::ScopeHierarchy, session::SessionBinding};

/// What the gate guards, and how it decides. Two things must be said, the rest has defaults.
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
    pub(super) session_binding: SessionBinding,
    pub(super) stream_lifetime: StreamLifetime,
    pub(super) stream_check_interval: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// For how long a response stream (`text/event-stream`) may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum StreamLifetime {
    /// It ends, cleanly, when the token that opened it expires, is withdrawn, or is refused. The client comes back with a
    /// fresh one.
    ///
    /// The verifier is asked about the token again whenever its answer is no longer
    /// [fresh](portcullis_core::UserContext::fresh_until), that is, when a cache has kept it for its time to live: a token
    /// that was revoked at its issuer ends its streams no later than its requests. While the verifier is unavailable the
    /// stream goes on for 5 minutes at most, and the verifier is asked again after pauses.
    ///
    /// If the token has expired already (accepted by leeway, or while the answer was made), it ends after a minute.
    #[default]
    UntilTokenExpiry,
    /// It goes on until the server or the client ends it: a token that was good once is good for hours.
    Unlimited,
}

impl<V> AuthConfig<V> {
    /// A gate before the resource that `metadata` describes. `verifier` accepts only tokens issued for that resource.
    #[must_use]
    pub fn new(metadata: ProtectedResourceMetadata, verifier: V) -> Self {
        Self {
            metadata,
            verifier,
            required_scopes: ScopeSet::default(),
            scope_hierarchy: ScopeHierarchy::default(),
            challenge_scopes: None,
            open_paths: Vec::new(),
            session_binding: SessionBinding::default(),
            stream_lifetime: StreamLifetime::default(),
            stream_check_interval: Duration::from_mins(5),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The scopes that every request needs. Default: none.
    #[must_use]
    pub fn with_required_scopes(mut self, scopes: ScopeSet) -> Self {
        self.required_scopes = scopes;
        self
    }

    /// Which scopes imply others, for the required ones. Default: none does.
    #[must_use]
    pub fn with_scope_hierarchy(mut self, hierarchy: ScopeHierarchy) -> Self {
        self.scope_hierarchy = hierarchy;
        self
    }

    /// The scopes that the first challenge names, so that a client knows what to ask for. Default: the required ones.
    #[must_use]
    pub fn with_challenge_scopes(mut self, scopes: ScopeSet) -> Self {
        self.challenge_scopes = Some(scopes);
        self
    }

    /// A path that is served without a token, compared as it stands in the request. Default: none.
    ///
    /// Better: mount what is public outside the layer. Never name the path of an MCP endpoint here.
    #[must_use]
    pub fn with_open_path(mut self, path: &str) -> Self {
        self.open_paths.push(path.into());
        self
    }

    /// How `Mcp-Session-Id` is tied to whoever it was given to. Default: tied.
    #[must_use]
    pub fn with_session_binding(mut self, binding: SessionBinding) -> Self {
        self.session_binding = binding;
        self
    }

    /// For how long a response stream may go on. Default: as long as the token that opened it.
    #[must_use]
    pub const fn with_stream_lifetime(mut self, life: StreamLifetime) -> Self {
        self.stream_lifetime = life;
        self
    }

    /// After how long the verifier is asked again about the token of a response stream, where no cache says for how long its
    /// answer is fresh. Default: 5 minutes. Each stream then asks for itself.
    #[must_use]
    pub const fn with_stream_check_interval(mut self, interval: Duration) -> Self {
        self.stream_check_interval = interval;
        self
    }

    /// The clock that stream ends are compared with.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same gate with another verifier, made from this one: a layer around it, say.
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

    /// What the resource says about itself.
    #[must_use]
    pub const fn metadata(&self) -> &ProtectedResourceMetadata {
        &self.metadata
    }

    /// What finds out who is calling.
    #[must_use]
    pub const fn verifier(&self) -> &V {
        &self.verifier
    }
}
