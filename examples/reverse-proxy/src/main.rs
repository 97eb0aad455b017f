//! Authentication in front of another MCP server: plain hyper, no axum, streams in both directions.
//!
//! ```text
//! cargo run -p reverse-proxy -- RESOURCE UPSTREAM ISSUER
//! cargo run -p reverse-proxy -- http://127.0.0.1:8080/mcp http://127.0.0.1:3001 https://idp.example.com
//! ```
//!
//! It listens at the host and port of RESOURCE and forwards authenticated requests to the same path of UPSTREAM, without the token.
//! `portcullis_server` checks `Host` and `Origin` and limits the connections of clients. TLS, and more than one upstream, are the task of a reverse
//! proxy in front of this one.

mod forward;

use std::{env, error::Error};

use http::{Request, StatusCode, Uri};
use http_body_util::Either;
use portcullis::{AuthLayer, ResourceServer, ResourceUri, egress::EgressConfig};
use portcullis_server::{
    ServerNames,
    connections::{self, Limits, RequestBody},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt, service_fn};

use crate::forward::{Forward, respond};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [resource, upstream, issuer] = &arguments[..] else {
        return Err("usage: reverse-proxy RESOURCE UPSTREAM ISSUER".into());
    };
    // An issuer without TLS can only be on this machine.
    let egress = EgressConfig::new();
    let egress = if issuer.starts_with("http:") { egress.with_loopback_allowed() } else { egress };
    let cfg = ResourceServer::new(resource)?.with_jwt_issuer(issuer)?.with_egress(egress).build()?;
    let gate = AuthLayer::new(cfg).layer(Forward::new(&upstream.parse()?)?);

    let names = ServerNames::new(&ResourceUri::new(resource)?);
    let resource: Uri = resource.parse()?;
    let address = (resource.host().unwrap_or_default().trim_matches(['[', ']']), resource.port_u16().unwrap_or(80));
    let listener = TcpListener::bind(address).await?;
    println!("serving {resource} for tokens of {issuer}, forwarding to {upstream}");
    let service = service_fn(move |request: Request<RequestBody>| {
        let is_allowed = names.allow(request.uri(), request.headers());
        let gate = gate.clone();
        async move {
            if is_allowed {
                gate.oneshot(request).await.map(|response| response.map(Either::Left))
            } else {
                Ok(respond(StatusCode::FORBIDDEN).map(Either::Right))
            }
        }
    });
    connections::serve(listener, Limits::default(), CancellationToken::new(), move |_| service.clone()).await;
    Ok(())
}
