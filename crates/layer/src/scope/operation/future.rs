//! [`ToolScopesFuture`]: one request whose body is read and judged.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::UserContext;
use tower_service::Service;

use super::{
    RequestBody,
    read_body::ReadBody,
    rule::{Entrance, Rule},
};
use crate::{
    ResponseBody,
    drain::{Early, close},
    rejection::Rejection,
};

pin_project! {
    /// Future for [`ToolScopes`](crate::scope::ToolScopes).
    ///
    /// Nothing happens before it is polled. Dropping it drops what it waits for: the rest of the body, or the inner
    /// service's future.
    #[must_use = "futures do nothing unless polled"]
    pub struct ToolScopesFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        state: State<S, B>,
        rule: Arc<Rule>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        Enter { arrived: Option<(S, Request<B>)> },
        Read { #[pin] reading: ReadBody<B>, waiting: Option<(S, Parts, Arc<UserContext>)> },
        Call { #[pin] responding: S::Future },
        Rejected { early: Early<B, Bytes> },
    }
}

impl<S, B> ToolScopesFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(super) const fn new(inner: S, request: Request<B>, rule: Arc<Rule>) -> Self {
        Self { state: State::Enter { arrived: Some((inner, request)) }, rule }
    }
}

impl<S, B, C> Future for ToolScopesFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<C>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<C>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                // ## Enter => (Read | Call | Rejected)
                //
                // The headers say whether there is a body, and one that can be judged.
                StateProjection::Enter { arrived } => {
                    let (mut inner, request) = arrived.take().expect("polled after it was done");
                    match this.rule.enter(&request) {
                        Ok(Entrance::Pass) => {
                            let responding = inner.call(request.map(RequestBody::passed));
                            this.state.set(State::Call { responding });
                        }
                        Ok(Entrance::Read(user, limit)) => {
                            let (parts, body) = request.into_parts();
                            let reading = ReadBody::new(body, limit);
                            this.state.set(State::Read { reading, waiting: Some((inner, parts, user)) });
                        }
                        Err(rejection) => {
                            let early = Early::new(request, rejection.into_response());
                            this.state.set(State::Rejected { early });
                        }
                    }
                }
                // ## Read => (Call | done)
                //
                // The body is known in full, and so is everything it asks for.
                StateProjection::Read { reading, waiting } => {
                    let read = ready!(reading.poll(cx));
                    let (mut inner, parts, user) = waiting.take().expect("polled after it was done");
                    let is_read = read.is_ok();
                    let judged = read.map_err(Rejection::from).and_then(|(bytes, trailers)| {
                        this.rule.judge(&parts.headers, &bytes, &user)?;
                        Ok(RequestBody::read(bytes, trailers))
                    });
                    match judged {
                        Ok(body) => {
                            let responding = inner.call(Request::from_parts(parts, body));
                            this.state.set(State::Call { responding });
                        }
                        Err(rejection) => {
                            let mut response = rejection.into_response();
                            if !is_read {
                                // More than may be read of it has been read already.
                                close(&mut response, parts.version);
                            }
                            return Poll::Ready(Ok(response.map(ResponseBody::own)));
                        }
                    }
                }
                // ## Call => done
                StateProjection::Call { responding } => {
                    let response = ready!(responding.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::passed)));
                }
                // ## Rejected => done
                StateProjection::Rejected { early } => {
                    return Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)));
                }
            }
        }
    }
}

impl<S, B> fmt::Debug for ToolScopesFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolScopesFuture").finish_non_exhaustive()
    }
}
