//! [`ToolScopesFuture`]: the future of one request through [`ToolScopes`](crate::scope::ToolScopes).

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
    rule::{Admission, Rule},
};
use crate::{
    ResponseBody,
    drain::{EarlyResponse, close},
    rejection::Rejection,
};

pin_project! {
    /// Future for [`ToolScopes`](crate::scope::ToolScopes).
    ///
/// It does nothing before it is polled. Dropping it drops the rest of the body, or the future of the inner service.
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
        Classify { arrived: Option<(S, Request<B>)> },
        Read { #[pin] reading: ReadBody<B>, waiting: Option<(S, Parts, Arc<UserContext>)> },
        Call { #[pin] responding: S::Future },
        Rejected { early: EarlyResponse<B, Bytes> },
    }
}

impl<S, B> ToolScopesFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(super) const fn new(inner: S, request: Request<B>, rule: Arc<Rule>) -> Self {
        Self { state: State::Classify { arrived: Some((inner, request)) }, rule }
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
                // ## Classify => (Read | Call | Rejected)
                //
                // The headers decide whether there is a body, and whether it can be parsed.
                StateProjection::Classify { arrived } => {
                    let (mut inner, request) = arrived.take().expect("polled after completion");
                    match this.rule.classify(&request) {
                        Ok(Admission::Pass) => {
                            let responding = inner.call(request.map(RequestBody::passed));
                            this.state.set(State::Call { responding });
                        }
                        Ok(Admission::ReadBody(user, limit)) => {
                            let (parts, body) = request.into_parts();
                            let reading = ReadBody::new(body, limit);
                            this.state.set(State::Read { reading, waiting: Some((inner, parts, user)) });
                        }
                        Err(rejection) => {
                            let early = EarlyResponse::new(request, rejection.into_response());
                            this.state.set(State::Rejected { early });
                        }
                    }
                }
                // ## Read => (Call | done)
                //
                // The complete body determines all operations, and so all scopes that are needed.
                StateProjection::Read { reading, waiting } => {
                    let read = ready!(reading.poll(cx));
                    let (mut inner, parts, user) = waiting.take().expect("polled after completion");
                    let is_read = read.is_ok();
                    let judged = read.map_err(Rejection::from).and_then(|(bytes, trailers)| {
                        this.rule.authorize(&parts.headers, &bytes, &user)?;
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
                                // The limit for reading the body has been exceeded already.
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
