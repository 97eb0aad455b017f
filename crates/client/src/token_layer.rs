//! [`TokenLayer`]: attaches access tokens to the requests of an HTTP client.

use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use crate::{DpopKey, TokenManager, TokenService, target::Target};

/// Attaches the access token of a [`TokenManager`] to requests, and repeats a request whose token the resource refuses.
///
/// - **A token is attached** to requests to the resource of the manager: same scheme, host and port, and a path at or below that of the
///   resource. All other requests pass unchanged. A request with a header `Authorization` of its own passes unchanged, and the layer does
///   not react to its response.
/// - **A request for which the user has to log in first** is sent without a token: the resource may not require one, and its challenge
///   says what a login needs.
/// - **A response 401 with a Bearer challenge** is [reported](TokenManager::rejected), and the request is repeated once with another token.
///   It is repeated again only if another request had replaced the token already.
/// - **A response 403 with the error `insufficient_scope`** requests the scopes that it names in addition to the granted ones, and the
///   request is repeated once.
/// - **All other responses are passed on**, and so is a second refusal. An error of the manager is returned as [`ClientError::Token`].
///
/// [`ClientError::Token`]: crate::ClientError::Token
///
/// # Readiness
/// The service is ready when the inner service is. A request that waits for a token, maybe for a login, holds no capacity of the inner
/// service: limits of concurrency and queues may be inside of the layer. To limit how many requests wait, put a limit outside.
///
/// # Replay
/// A request is repeated only after a response 401 or 403, never after an error of the inner service: a lost connection does not say
/// whether the request was processed. To be repeated, the request is copied before it is sent, and its body must be [`Clone`]: `Bytes`,
/// `Full<Bytes>`, `String`.
///
/// # Redirects
/// Put the layer *inside* of a service that follows redirects, where it sees each request. If it is outside, the service that follows
/// redirects must remove the header `Authorization` when the origin changes; `FollowRedirect` of tower-http and `reqwest` do it by default.
/// The layer would then take the challenge of another origin for one of the resource, which may send the user to another authorization
/// server: below the layer, follow redirects within the origin only.
#[derive(Clone, Debug)]
pub struct TokenLayer(Arc<Config>);

/// What the clones of a layer and its services share.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) manager: TokenManager,
    pub(crate) replay: ReplayPolicy,
    pub(crate) target: Target,
    pub(crate) dpop: Option<DpopKey>,
}

impl TokenLayer {
    /// Creates a layer with the tokens of `manager`.
    #[must_use]
    pub fn new(manager: TokenManager) -> Self {
        let (target, dpop) = (Target::new(manager.resource()), manager.dpop_key().cloned());
        Self(Arc::new(Config { manager, replay: ReplayPolicy::default(), target, dpop }))
    }

    /// Sets which requests are repeated.
    #[must_use]
    pub fn with_replay(mut self, replay: ReplayPolicy) -> Self {
        Arc::make_mut(&mut self.0).replay = replay;
        self
    }

    /// Sets the key to which the tokens are bound: each request has a proof of possession, and a request that lacks the nonce of the resource
    /// is repeated with it, once. Default: the key of the [grant](crate::Grant::dpop_key).
    /// [RFC 9449 section 7](https://www.rfc-editor.org/rfc/rfc9449#section-7)
    #[must_use]
    pub fn with_dpop(mut self, key: DpopKey) -> Self {
        Arc::make_mut(&mut self.0).dpop = Some(key);
        self
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = TokenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TokenService::new(inner, self.0.clone())
    }
}

/// Which requests are repeated with another token after the resource refused their token.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum ReplayPolicy {
    /// All: a resource that refuses the token of a request has not processed it.
    #[default]
    OnInvalidToken,
    /// None. The refusal is passed on, and the *next* request bears another token. No scopes are requested.
    Never,
    /// Those for which the function returns true.
    Custom(fn(&Parts) -> bool),
}

impl ReplayPolicy {
    pub(crate) fn allows(self, request: &Parts) -> bool {
        match self {
            Self::OnInvalidToken => true,
            Self::Never => false,
            Self::Custom(allows) => allows(request),
        }
    }
}
