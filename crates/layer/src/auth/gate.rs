//! [`Gate`]: the decisions of the auth layer, none of which waits, from the extraction of the bearer token on; and [`TokenRecheck`], which
//! repeats them for an open stream.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ORIGIN},
};
use http_body::Body;
use portcullis_core::{
    AuthError, AuthErrorKind, BearerToken, Clock, InvalidBearerToken, Reason, ScopeSet, UserContext, VerifyToken,
};
use portcullis_oauth::protected_resource::metadata_url;
use tower::{ServiceExt as _, util::Oneshot};

use super::{
    AuthConfig, StreamLifetime,
    response::{self, Challenges},
    telemetry::Telemetry,
};
use crate::{
    metadata::{MetadataEndpoint, is_well_known},
    response::ResponseBody,
    scope::ScopeHierarchy,
    session::{Refusal, Sessions},
    stream_end::{Recheck, StreamEnd},
};

/// The state that all requests through one layer share.
#[derive(Debug)]
pub(crate) struct Gate {
    metadata: MetadataEndpoint,
    required_scopes: ScopeSet,
    scope_hierarchy: ScopeHierarchy,
    open_paths: Vec<Box<str>>,
    challenges: Challenges,
    sessions: Option<Sessions>,
    stream_lifetime: StreamLifetime,
    stream_check_interval: Duration,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
}

/// The decision about a request before its token is verified.
#[derive(Debug)]
pub(super) enum Admission {
    /// The token is to be verified.
    Verify(BearerToken),
    /// The request passes without a token.
    Pass,
    /// The request is for the metadata of the resource.
    Metadata,
    /// The request is for another well-known document, without a token.
    NotFound,
    /// The request is rejected.
    Reject(AuthError),
}

/// The properties of a request that its response depends on.
#[derive(Debug)]
pub(super) struct RequestInfo {
    user: Arc<UserContext>,
    /// For verifying the token of a response stream again.
    token: Option<BearerToken>,
    is_get: bool,
}

impl Gate {
    pub(super) fn new<V>(config: AuthConfig<V>) -> (V, Self) {
        let scope = config.challenge_scopes.as_ref().unwrap_or(&config.required_scopes);
        let gate = Self {
            challenges: Challenges::new(metadata_url(config.metadata.resource()), scope),
            metadata: MetadataEndpoint::new(&config.metadata),
            required_scopes: config.required_scopes,
            scope_hierarchy: config.scope_hierarchy,
            open_paths: config.open_paths,
            sessions: config.session_binding.map(|binding| binding.sessions(config.metadata.resource())),
            stream_lifetime: config.stream_lifetime,
            stream_check_interval: config.stream_check_interval,
            clock: config.clock,
            telemetry: Telemetry::new(),
        };
        (config.verifier, gate)
    }

    /// Decides about a new request and removes its `Authorization` header.
    pub(super) fn classify<B>(&self, request: &mut Request<B>) -> Admission {
        if self.metadata.is_at(request.uri().path()) {
            return Admission::Metadata;
        }
        let token = take_bearer_token(request.headers_mut());
        if is_preflight(request) || self.open_paths.iter().any(|path| **path == *request.uri().path()) {
            return Admission::Pass;
        }
        match token {
            Ok(token) => Admission::Verify(token.with_source(request.extensions().get().copied())),
            Err(error) if error.kind() == AuthErrorKind::MissingToken && is_well_known(request.uri().path()) => {
                Admission::NotFound
            }
            Err(error) => Admission::Reject(error),
        }
    }

    /// Returns the response for a well-known document that this resource does not have. It has no challenge: a client that looks for
    /// metadata there goes on to the next place, and a login would not help.
    pub(super) fn not_found() -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }

    /// Returns the metadata of the resource.
    pub(super) fn metadata(&self, method: &Method) -> Response<Bytes> {
        self.metadata.respond(method)
    }

    /// Returns the token if a response stream may have to verify it again. It shares the memory of the request.
    pub(super) fn token_of_stream(&self, token: &BearerToken) -> Option<BearerToken> {
        (self.stream_lifetime == StreamLifetime::UntilTokenExpiry).then(|| token.clone())
    }

    /// Checks that `user` has the scopes that every request needs.
    pub(super) fn check_scopes(&self, user: &UserContext) -> Result<(), AuthError> {
        if self.scope_hierarchy.satisfies(user.scopes(), &self.required_scopes) {
            return Ok(());
        }
        Err(AuthError::insufficient_scope(self.required_scopes.clone()))
    }

    /// Checks the scopes and the session of `user`, and inserts the user into the request.
    pub(super) fn authorize<B>(
        &self,
        request: &mut Request<B>,
        user: Arc<UserContext>,
        token: Option<BearerToken>,
    ) -> Result<RequestInfo, Refusal> {
        self.check_scopes(&user)?;
        if let Some(sessions) = &self.sessions {
            sessions.unbind(request.headers_mut(), &user)?;
        }
        request.extensions_mut().insert(Arc::clone(&user));
        Ok(RequestInfo { user, token, is_get: request.method() == Method::GET })
    }

    /// Finishes a response of the inner service. `info` is `None` for a request that passed without a token.
    ///
    /// `verifier` verifies the token of a response stream again.
    pub(super) fn finish<C, V>(
        self: &Arc<Self>,
        mut response: Response<C>,
        info: Option<RequestInfo>,
        verifier: &V,
    ) -> Response<ResponseBody<C>>
    where
        C: Body,
        V: VerifyToken<Future: Send> + Clone + Send + 'static,
    {
        if let Some(error) = response.extensions().get::<AuthError>() {
            return rejected(self.reject(error.clone()), &response);
        }
        let Some(RequestInfo { user, token, is_get }) = info else {
            return response.map(ResponseBody::passed);
        };
        let token = token.filter(|_| is_event_stream(response.headers()));
        if token.is_some() && user.revocation().is_revoked() {
            // Revoked during the request: the stream would end before its first event, without telling the client why.
            return rejected(self.reject(AuthError::new(Reason::Revoked)), &response);
        }
        self.telemetry.accepted();
        if let Some(sessions) = &self.sessions {
            sessions.bind(response.headers_mut(), &user);
        }
        let mut response = response.map(|body| match token {
            Some(token) => {
                let recheck = TokenRecheck::new(verifier.clone(), token, Arc::clone(self));
                let end = StreamEnd::new(user, Arc::clone(&self.clock), self.stream_check_interval, recheck);
                ResponseBody::until_token_ends(body, end)
            }
            None => ResponseBody::passed(body),
        });
        if is_get && !response.headers().contains_key(CACHE_CONTROL) {
            // RFC 6750 section 5.3: a shared cache must not serve the response of one user to another.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        }
        response
    }

    /// Counts and logs a rejection, and returns its response by the wire table.
    pub(super) fn reject(&self, refusal: impl Into<Refusal>) -> Response<Bytes> {
        match refusal.into() {
            Refusal::Auth(error) => {
                self.telemetry.rejected(&error);
                response::rejection(error, &self.challenges)
            }
            Refusal::SessionNotFound => {
                self.telemetry.session_not_found();
                response::session_not_found()
            }
        }
    }
}

/// Removes the `Authorization` headers and returns their bearer token. The headers are removed in case of an error, too.
///
/// A token in the query or in a form is ignored (OAuth 2.1 section 5.1).
fn take_bearer_token(headers: &mut HeaderMap) -> Result<BearerToken, AuthError> {
    let before = headers.len();
    let credentials = headers.remove(AUTHORIZATION).ok_or(Reason::NoCredentials)?;
    // `remove` returns the first value and drops the others; `len` counts every one.
    if before - headers.len() > 1 {
        return Err(Reason::RepeatedHeader.into());
    }
    BearerToken::from_credentials(credentials).map_err(|invalid| match invalid {
        InvalidBearerToken::OtherScheme => Reason::OtherScheme.into(),
        _ => Reason::MalformedHeader.into(),
    })
}

/// Replaces the response `inner` by `response`, but keeps its `Connection` header.
fn rejected<C>(mut response: Response<Bytes>, inner: &Response<C>) -> Response<ResponseBody<C>> {
    if let Some(connection) = inner.headers().get(CONNECTION) {
        response.headers_mut().insert(CONNECTION, connection.clone());
    }
    response.map(ResponseBody::own)
}

/// Reports whether the request is a CORS preflight, which cannot carry a token (TR-12). Any other `OPTIONS` request can.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().get(..EVENT_STREAM.len()));
    media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case(EVENT_STREAM))
}

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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn take(values: &[&'static str]) -> Result<String, Reason> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let token = take_bearer_token(&mut headers);
        assert!(!headers.contains_key(AUTHORIZATION), "the header is removed");
        token.map(|token| token.expose_secret().to_owned()).map_err(|error| error.reason())
    }

    #[test]
    fn rs_44_the_header_is_parsed_by_the_grammar() {
        assert_eq!(take(&["bearer  abc"]).as_deref(), Ok("abc"));
        assert_eq!(take(&[]), Err(Reason::NoCredentials));
        assert_eq!(take(&["Basic abc"]), Err(Reason::OtherScheme));
        assert_eq!(take(&["Bearer a b"]), Err(Reason::MalformedHeader));
    }

    #[test]
    fn rs_46_two_headers_are_a_malformed_request_not_a_choice() {
        for pair in [["Bearer a", "Bearer a"], ["Bearer a", "Basic b"], ["Basic b", "Bearer a"]] {
            assert_eq!(take(&pair), Err(Reason::RepeatedHeader), "{pair:?}");
        }
    }
}
