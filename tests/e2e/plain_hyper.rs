//! The gate around a function, served by hyper: no axum, no router.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use portcullis::{AuthLayer, ResourceServer, UserContext, egress::EgressConfig};
use reqwest::{Client, StatusCode};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tower::{Layer, service_fn};

use crate::harness::{Format, Provider};

/// Serves a function behind the gate, and returns its URL. It answers who is calling, and when it is told to go on, whether
/// there was an `Authorization` header.
async fn serve(provider: &Provider, go_on: Arc<Notify>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("bound"));
    let server = ResourceServer::new(&url).expect("a resource").with_jwt_issuer(&provider.issuer).expect("an issuer");
    let config = server.with_egress(EgressConfig::new().with_loopback_allowed()).build().expect("a configuration");
    let answer = service_fn(move |request: Request<Incoming>| {
        let go_on = Arc::clone(&go_on);
        async move {
            let user = request.extensions().get::<Arc<UserContext>>().expect("a user").subject().to_owned();
            let has_token = request.headers().contains_key(header::AUTHORIZATION);
            let (parts, body) = mpsc::channel(1);
            tokio::spawn(async move {
                parts.send(user).await.expect("a reader");
                go_on.notified().await;
                parts.send(format!("token: {has_token}")).await.expect("a reader");
            });
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames(body))))
        }
    });
    let gate = AuthLayer::new(config).layer(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(gate.clone());
            tokio::spawn(async move {
                let connection = Builder::new(TokioExecutor::new());
                // It ends as its client likes.
                drop(connection.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    url
}

fn frames(body: mpsc::Receiver<String>) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures_util::stream::unfold(body, async |mut body| {
        let part = body.recv().await?;
        Some((Ok(Frame::data(Bytes::from(part))), body))
    })
}

async fn story(client: Client) {
    let provider = Provider::start(Format::Jwt).await;
    let go_on = Arc::new(Notify::new());
    let url = serve(&provider, Arc::clone(&go_on)).await;

    let refused = client.post(&url).body("{}").send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(
        refused.headers()[header::WWW_AUTHENTICATE].to_str().expect("text").starts_with("Bearer resource_metadata=")
    );
    let metadata = url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
    assert!(client.get(metadata).send().await.expect("an answer").status().is_success());

    let token = provider.login("alice", &url, "mcp:read").await.access();
    let mut answer = client.post(&url).bearer_auth(token).body("{}").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.chunk().await.expect("a chunk").expect("a part"), "alice");
    go_on.notify_one();
    assert_eq!(answer.chunk().await.expect("a chunk").expect("a part"), "token: false");
    assert!(answer.bytes().await.expect("the end").is_empty());
}

#[tokio::test]
async fn the_gate_needs_no_axum() {
    story(Client::new()).await;
}

#[tokio::test]
async fn the_gate_needs_no_axum_over_http_2() {
    story(Client::builder().http2_prior_knowledge().build().expect("a client")).await;
}
