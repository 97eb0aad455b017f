//! [`RmcpClient`]: a token manager under the HTTP transport of rmcp.

use std::{collections::HashMap, future::Future, io, sync::Arc};

use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header::AUTHORIZATION};
use portcullis_core::Challenge;
use rmcp::{
    model::ClientJsonRpcMessage,
    transport::streamable_http_client::{
        AuthRequiredError, InsufficientScopeError, SseError, StreamableHttpClient, StreamableHttpError,
        StreamableHttpPostResponse, StreamableHttpResponseLimits,
    },
};
use sse_stream::Sse;

use crate::{
    AcquireError, TokenManager,
    attempt::{Attempt, Refusal, Scheme, token_challenge_in},
    target::Target,
};

type Headers = HashMap<HeaderName, HeaderValue>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

/// An HTTP client for rmcp's `StreamableHttpClientTransport` that does what [`TokenLayer`](crate::TokenLayer) does. It replaces rmcp's
/// `AuthClient` and sends requests through `C`, usually a `reqwest::Client`.
///
/// A request that rmcp gives up, because the caller was cancelled or its time is over, cancels no exchange of the manager.
///
/// ```
/// # fn transport(manager: portcullis_client::TokenManager) -> Result<impl Sized, reqwest::Error> {
/// use portcullis_client::adapters::{RmcpClient, within_origin};
/// use rmcp::transport::streamable_http_client::{
///     StreamableHttpClientTransport, StreamableHttpClientTransportConfig,
/// };
///
/// let config = StreamableHttpClientTransportConfig::with_uri(manager.resource().as_str());
/// // The challenge of another origin would be taken for one of the resource.
/// let http = reqwest::Client::builder().redirect(within_origin()).build()?;
/// # let transport =
/// StreamableHttpClientTransport::with_client(RmcpClient::new(http, manager), config)
/// # ;
/// # Ok(transport)
/// # }
/// ```
///
/// # Errors
/// A request for which the user has to log in fails with `AuthRequired`, and one that lacks scopes that the user has to grant with
/// `InsufficientScope`. Any other [`AcquireError`] is the source of an `Io` error.
///
/// Tokens that are bound to a [`DpopKey`](crate::DpopKey) cannot be presented, because rmcp does not show the headers of responses, where
/// a resource states its nonce: with such a grant each request fails with an `Io` error of the kind `Unsupported`.
///
/// # Redirects
/// A `reqwest::Client` as `C` follows redirects by itself: see [`within_origin`](super::within_origin), of the feature `reqwest`.
///
/// # Other credentials
/// A request with a token of its own, from the `auth_header` of the transport's configuration, is passed on unchanged.
#[derive(Clone, Debug)]
pub struct RmcpClient<C> {
    inner: C,
    manager: TokenManager,
    target: Arc<Target>,
}

impl<C: StreamableHttpClient + Sync> RmcpClient<C> {
    /// Creates a client that sends its requests through `inner`, with the tokens of `manager`.
    #[must_use]
    pub fn new(inner: C, manager: TokenManager) -> Self {
        let target = Arc::new(Target::new(manager.resource()));
        Self { inner, manager, target }
    }

    /// Calls `send` with the headers and a token, and again with another token if the resource refuses it.
    async fn authorized<T, F>(
        &self,
        uri: &str,
        auth_token: Option<&str>,
        headers: Headers,
        send: impl Fn(Headers) -> F,
    ) -> Result<T, StreamableHttpError<C::Error>>
    where
        F: Future<Output = Result<T, StreamableHttpError<C::Error>>>,
    {
        let is_covered = uri.parse::<Uri>().is_ok_and(|uri| self.target.covers(&uri));
        if auth_token.is_some() || headers.contains_key(&AUTHORIZATION) || !is_covered {
            return send(headers).await;
        }
        if self.manager.dpop_key().is_some() {
            let error = io::Error::new(io::ErrorKind::Unsupported, NO_PROOFS);
            return Err(StreamableHttpError::Io(error));
        }
        let token = self.manager.token_of_request().await.map_err(|error| failure(error, None))?;
        let mut attempt = Attempt::new(token, None);
        loop {
            let mut with_token = headers.clone();
            if let Some(token) = attempt.token() {
                with_token.insert(AUTHORIZATION, token.authorization());
            }
            let outcome = send(with_token).await;
            let Some(refusal) = outcome.as_ref().err().and_then(refusal) else { return outcome };
            match attempt.recover(&self.manager, &refusal).await {
                Ok(true) => {}
                Ok(false) => return outcome,
                Err(error) => return Err(failure(error, outcome.err())),
            }
        }
    }
}

/// The error of a request with tokens that are bound to a key.
const NO_PROOFS: &str = "the grant has a DPoP key, and rmcp's HTTP client does not show the headers of responses, where a resource states \
    its nonce: present the tokens by `TokenLayer` or `TokenMiddleware`, or request tokens without the key";

/// Returns how the resource refused a token.
fn refusal<E>(error: &StreamableHttpError<E>) -> Option<Refusal>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let (status, header) = match error {
        StreamableHttpError::AuthRequired(error) => (StatusCode::UNAUTHORIZED, &error.www_authenticate_header),
        StreamableHttpError::InsufficientScope(error) => (StatusCode::FORBIDDEN, &error.www_authenticate_header),
        _ => return None,
    };
    Some(Refusal::bearer(status, token_challenge_in(header, Scheme::Bearer)?))
}

/// Returns rmcp's error for a manager that has no token. `refused`: how the resource refused the last one.
fn failure<E>(error: AcquireError, refused: Option<StreamableHttpError<E>>) -> StreamableHttpError<E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match (error, refused) {
        (
            AcquireError::ReauthRequired(_) | AcquireError::StepUpRequired { .. },
            Some(refused @ (StreamableHttpError::AuthRequired(_) | StreamableHttpError::InsufficientScope(_))),
        ) => refused,
        (AcquireError::ReauthRequired(_), _) => {
            StreamableHttpError::AuthRequired(AuthRequiredError::new(Challenge::bearer().to_string()))
        }
        (AcquireError::StepUpRequired { scopes }, _) => {
            let scopes = scopes.to_string();
            let challenge = Challenge::bearer().with("error", "insufficient_scope").with("scope", &scopes);
            let error = InsufficientScopeError::new(challenge.to_string(), Some(scopes));
            StreamableHttpError::InsufficientScope(error)
        }
        (error, _) => StreamableHttpError::Io(io::Error::other(error)),
    }
}

impl<C: StreamableHttpClient + Sync> StreamableHttpClient for RmcpClient<C> {
    type Error = C::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_token: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Self::Error>> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session_id, auth_token, headers, limits).await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_token: Option<String>,
        headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Self::Error>> {
        let mut limits = StreamableHttpResponseLimits::default();
        limits.max_sse_event_size = max_sse_event_size;
        self.post_message_with_response_limits(uri, message, session_id, auth_token, headers, limits).await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_token: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Self::Error>> {
        self.authorized(&uri, auth_token.as_deref(), headers, |headers| {
            let (message, token) = (message.clone(), auth_token.clone());
            self.inner.post_message_with_response_limits(
                uri.clone(),
                message,
                session_id.clone(),
                token,
                headers,
                limits,
            )
        })
        .await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_token: Option<String>,
        headers: Headers,
    ) -> Result<(), StreamableHttpError<Self::Error>> {
        self.authorized(&uri, auth_token.as_deref(), headers, |headers| {
            self.inner.delete_session(uri.clone(), session_id.clone(), auth_token.clone(), headers)
        })
        .await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_token: Option<String>,
        headers: Headers,
    ) -> Result<Events, StreamableHttpError<Self::Error>> {
        let max_sse_event_size = StreamableHttpResponseLimits::default().max_sse_event_size;
        self.get_stream_with_max_sse_event_size(uri, session_id, last_event_id, auth_token, headers, max_sse_event_size)
            .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_token: Option<String>,
        headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<Events, StreamableHttpError<Self::Error>> {
        self.authorized(&uri, auth_token.as_deref(), headers, |headers| {
            let (last_event_id, token) = (last_event_id.clone(), auth_token.clone());
            self.inner.get_stream_with_max_sse_event_size(
                uri.clone(),
                session_id.clone(),
                last_event_id,
                token,
                headers,
                max_sse_event_size,
            )
        })
        .await
    }
}
