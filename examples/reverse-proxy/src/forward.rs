//! [`Forward`]: a tower service that forwards requests to another server.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderName, Request, Response, StatusCode, Uri,
    header::{CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, PathAndQuery},
};
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use portcullis_server::connections::RequestBody;
use tower::Service;

/// The body of a response: that of the upstream, streamed, or an empty one of the proxy.
type Body = Either<Incoming, Empty<Bytes>>;

/// A service that forwards requests to one upstream, over pooled connections.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    client: Client<HttpConnector, RequestBody>,
    upstream: Authority,
}

impl Forward {
    pub(crate) fn new(upstream: &Uri) -> Result<Self, Box<dyn Error>> {
        match (upstream.scheme_str(), upstream.authority()) {
            (Some("http"), Some(authority)) => {
                // Otherwise the second part of a request waits until the upstream acknowledges the first part.
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                let client = Client::builder(TokioExecutor::new()).build(connector);
                Ok(Self { client, upstream: authority.clone() })
            }
            _ => Err(format!("UPSTREAM must be http://host:port, not {upstream}").into()),
        }
    }

    fn target(&self, uri: &Uri) -> Result<Uri, http::Error> {
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Uri::builder().scheme("http").authority(self.upstream.clone()).path_and_query(path).build()
    }
}

impl Service<Request<RequestBody>> for Forward {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let Ok(target) = self.target(request.uri()) else {
            return Box::pin(async { Ok(respond(StatusCode::BAD_REQUEST)) });
        };
        *request.uri_mut() = target;
        *request.version_mut() = http::Version::HTTP_11;
        // The client sets the upstream's own name: an MCP server rejects other names, as a defence against DNS rebinding.
        // `ServerNames` has checked the name in the request.
        request.headers_mut().remove(HOST);
        remove_hop_by_hop(request.headers_mut());
        let response = self.client.request(request);
        Box::pin(async {
            match response.await {
                Ok(mut response) => {
                    remove_hop_by_hop(response.headers_mut());
                    Ok(response.map(Either::Left))
                }
                Err(error) => {
                    eprintln!("upstream: {error}");
                    Ok(respond(StatusCode::BAD_GATEWAY))
                }
            }
        })
    }
}

/// Returns a response of the proxy itself.
pub(crate) fn respond(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    response
}

/// Removes the headers that are about one connection only (RFC 9110 section 7.6.1).
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let known = [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    for name in named.iter().chain(&known).chain([&HeaderName::from_static("keep-alive")]) {
        headers.remove(name);
    }
}
