//! [`TokenRecheck`]: repeats the verification of a token.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use portcullis_core::{AuthError, BearerToken, UserContext, VerifyToken};
use tower::{ServiceExt as _, util::Oneshot};

use super::gate::Gate;
use crate::body::Recheck;

/// Verifies a token again with the verifier that accepted it, and checks that its scopes still suffice.
pub(super) struct TokenRecheck<V: VerifyToken> {
    verifier: V,
    token: BearerToken,
    gate: Arc<Gate>,
    asking: Option<Pin<Box<Oneshot<V, BearerToken>>>>,
}

impl<V: VerifyToken> TokenRecheck<V> {
    pub(super) const fn new(verifier: V, token: BearerToken, gate: Arc<Gate>) -> Self {
        Self { verifier, token, gate, asking: None }
    }
}

impl<V: VerifyToken<Future: Send> + Clone + Send> Recheck for TokenRecheck<V> {
    fn detach(&mut self) {
        self.token = self.token.detached();
    }

    fn poll_verified(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<UserContext>, AuthError>> {
        let Self { verifier, token, gate, asking } = self;
        let answer = asking.get_or_insert_with(|| Box::pin(verifier.clone().oneshot(token.clone())));
        let verified = ready!(answer.as_mut().poll(cx));
        *asking = None;
        Poll::Ready(verified.and_then(|user| gate.check_scopes(&user).map(|()| user)))
    }
}

impl<V: VerifyToken> fmt::Debug for TokenRecheck<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecheck").finish_non_exhaustive()
    }
}
