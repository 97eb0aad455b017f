//! [`JwtFuture`]: the future of a [`JwtVerifier`](super::JwtVerifier).

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use portcullis_core::{AuthError, BearerToken, Reason, UserContext};
use portcullis_oauth::jwt::SignedJwt;

use super::verifier::Inner;
use portcullis_remote::Verification;

/// The future of a [`JwtVerifier`](super::JwtVerifier). Nothing happens before it is polled.
#[must_use]
pub struct JwtFuture(State);

type Outcome = Result<Arc<UserContext>, AuthError>;

enum State {
    /// `Begin → End`, or `Begin → Wait` if a key must be fetched.
    Begin(Arc<Inner>, BearerToken),
    /// `Wait → End`. Boxed: it costs a network round trip anyway.
    Wait(Arc<Inner>, BoxFuture<'static, Result<SignedJwt, AuthError>>),
    /// The outcome has been given away.
    End,
}

impl JwtFuture {
    pub(super) const fn new(verifier: Arc<Inner>, token: BearerToken) -> Self {
        Self(State::Begin(verifier, token))
    }
}

impl Future for JwtFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match mem::replace(&mut self.0, State::End) {
                State::Begin(verifier, token) => match verifier.begin(&token)? {
                    Verification::Done(signed) => return Poll::Ready(verifier.finish(signed?)),
                    Verification::Pending(signed) => self.0 = State::Wait(verifier, signed),
                },
                State::Wait(verifier, mut signed) => {
                    if let Poll::Ready(signed) = signed.as_mut().poll(cx) {
                        return Poll::Ready(verifier.finish(signed?));
                    }
                    self.0 = State::Wait(verifier, signed);
                    return Poll::Pending;
                }
                State::End => return Poll::Ready(Err(AuthError::new(Reason::VerifierFailed))),
            }
        }
    }
}

impl fmt::Debug for JwtFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtFuture").finish_non_exhaustive()
    }
}
