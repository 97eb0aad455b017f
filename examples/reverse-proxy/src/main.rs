//! The gate in front of an MCP server that is not ours: plain hyper, no axum, streams in both directions.
//!
//! ```text
//! cargo run -p reverse-proxy -- RESOURCE UPSTREAM ISSUER
//! cargo run -p reverse-proxy -- http://127.0.0.1:8080/mcp http://127.0.0.1:3001 https://idp.example.com
//! ```
//!
//! It listens at the host and port of RESOURCE, and sends what the gate lets through to the same path of UPSTREAM: without
//! the token, with everything else. TLS, and more than one upstream, are for the reverse proxy in front of this one.

mod forward;

use std::{env, error::Error, sync::Arc};

use http::Uri;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use portcullis_core::{Issuer, ResourceUri, SystemClock};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_layer::{AuthConfig, AuthLayer};
use portcullis_oauth::{jwt::JwtPolicy, protected_resource::ProtectedResourceMetadata};
use portcullis_verify::{Cache, CacheConfig, JwtVerifier, RemoteKeySet};
use tokio::net::TcpListener;
use tower::Layer;

use crate::forward::Forward;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [resource, upstream, issuer] = &arguments[..] else {
        return Err("usage: reverse-proxy RESOURCE UPSTREAM ISSUER".into());
    };
    let gate = gate(&resource.parse()?, &issuer.parse()?)?.layer(Forward::new(&upstream.parse()?)?);

    let resource: Uri = resource.parse()?;
    let address = (resource.host().unwrap_or_default().trim_matches(['[', ']']), resource.port_u16().unwrap_or(80));
    let listener = TcpListener::bind(address).await?;
    println!("{resource} is open for tokens of {issuer}, and leads to {upstream}");
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(gate.clone());
        tokio::spawn(async move {
            let connection = Builder::new(TokioExecutor::new());
            if let Err(error) = connection.serve_connection(TokioIo::new(stream), service).await {
                eprintln!("connection: {error}");
            }
        });
    }
}

/// A gate that takes the JWTs that `issuer` issued for `resource`.
fn gate(resource: &ResourceUri, issuer: &Issuer) -> Result<AuthLayer<Cache<JwtVerifier>>, Box<dyn Error>> {
    // An issuer without TLS can only be on this machine; it is a test.
    let on_this_machine = issuer.as_str().starts_with("http:");
    let egress = Egress::new(EgressConfig::new().with_allow_loopback(on_this_machine))?;
    let keys = RemoteKeySet::discovered(issuer.clone(), egress);
    let policy = JwtPolicy::new(issuer.clone(), resource.clone());
    let verifier = JwtVerifier::new(policy, keys, Arc::new(SystemClock::new()));
    let metadata = ProtectedResourceMetadata::new(resource.clone(), issuer.clone());
    Ok(AuthLayer::new(AuthConfig::new(metadata, Cache::around(verifier, CacheConfig::new()))))
}
