//! [`Client`]: reqwest behind the guard.

use std::{error::Error, iter};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri};

use crate::{
    EgressConfig, EgressConfigError, EgressError, EgressErrorKind, MaxBody,
    guard::{Blocked, Guard, GuardedResolver},
};

/// reqwest behind the guard.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    guard: Guard,
    max_body: usize,
}

impl Client {
    pub(crate) fn new(config: EgressConfig) -> Result<Self, EgressConfigError> {
        let guard = Guard::new(config.allow_loopback, config.allowed_networks);
        let http = reqwest::Client::builder()
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(GuardedResolver(guard.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(config.connect_timeout)
            .tcp_nodelay(true)
            .build()
            .map_err(EgressConfigError)?;
        Ok(Self { http, guard, max_body: config.max_body })
    }

    pub(crate) async fn send(self, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
        let uri = request.uri().clone();
        let limit =
            request.extensions().get::<MaxBody>().map_or(self.max_body, |limit| limit.bytes().min(self.max_body));
        let blocked = EgressErrorKind::Blocked;
        let request = reqwest::Request::try_from(request)
            .map_err(|error| EgressError::new(blocked, &uri).with_source(error.without_url()))?;
        self.guard.check_url(request.url()).map_err(|why| EgressError::new(blocked, &uri).with_source(why))?;

        let mut received = self.http.execute(request).await.map_err(|error| convert(error, &uri))?;
        let mut response = Response::new(());
        *response.status_mut() = received.status();
        *response.version_mut() = received.version();
        *response.headers_mut() = std::mem::take(received.headers_mut());
        let body = read(received, limit, &uri).await?;
        Ok(response.map(|()| body))
    }
}

/// Reads the body up to `limit`. An announced length is an early reason to stop, and is not relied on otherwise.
async fn read(mut received: reqwest::Response, limit: usize, uri: &Uri) -> Result<Bytes, EgressError> {
    let too_large = || EgressError::new(EgressErrorKind::BodyTooLarge, uri);
    if received.content_length().is_some_and(|length| usize::try_from(length).is_ok_and(|n| n > limit)) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = received.chunk().await.map_err(|error| convert(error, uri))? {
        if chunk.len() > limit - body.len() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Converts an error of reqwest. Its URL is removed, because it contains the query.
fn convert(error: reqwest::Error, uri: &Uri) -> EgressError {
    let error = error.without_url();
    let mut causes = iter::successors(error.source(), |cause| (*cause).source());
    let kind = if causes.any(|cause| cause.is::<Blocked>()) {
        EgressErrorKind::Blocked
    } else if error.is_connect() {
        EgressErrorKind::Connect
    } else if error.is_timeout() {
        EgressErrorKind::Timeout
    } else {
        EgressErrorKind::Transport
    };
    EgressError::new(kind, uri).with_source(error)
}
