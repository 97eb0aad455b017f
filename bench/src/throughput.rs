//! HTTP over loopback: axum with and without the authentication layer, in alternating turns.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::post, serve::ListenerExt as _};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use portcullis::AuthLayer;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::{
    mcp::{self, bearer},
    provider::{Providers, Tokens},
};

/// The number of persistent connections, each with one request in flight.
const CONNECTIONS: usize = 16;
const PAIRS: usize = 40;
const TURN: Duration = Duration::from_millis(200);

pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// The requests per second.
pub(crate) struct Throughput {
    /// The kind of token.
    pub(crate) token: &'static str,
    /// Without the layer, in each turn.
    pub(crate) bare: Vec<f64>,
    /// With the layer, in each turn.
    pub(crate) gated: Vec<f64>,
    /// The ratios of neighbouring turns.
    pub(crate) ratios: Vec<f64>,
}

/// Measures an opaque token and a JWT.
pub(crate) fn run(
    runtime: &Runtime,
    providers: &Providers,
    tokens: &Tokens,
) -> Result<[Throughput; 2], Box<dyn Error>> {
    let bare = serve(router())?;
    let gated = serve(router().layer(AuthLayer::new(providers.config()?)))?;
    Ok([
        in_turns(runtime, "opaque token", &tokens.opaque, bare, gated)?,
        in_turns(runtime, "JWT", &tokens.jwt, bare, gated)?,
    ])
}

/// A server that parses the request and writes a response, like a minimal MCP server.
fn router() -> Router {
    Router::new().route("/mcp", post(answer))
}

async fn answer(body: Bytes) -> Result<String, StatusCode> {
    let call: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let content = json!([{"type": "text", "text": call["params"]["arguments"]["text"]}]);
    Ok(json!({"jsonrpc": "2.0", "id": call["id"], "result": {"content": content}}).to_string())
}

/// Starts a server on a runtime like that of `#[tokio::main]`, until the process ends.
fn serve(router: Router) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), router).await.expect("a server");
        });
    });
    Ok(address)
}

fn in_turns(
    runtime: &Runtime,
    name: &'static str,
    token: &str,
    bare: SocketAddr,
    gated: SocketAddr,
) -> Result<Throughput, Box<dyn Error>> {
    let credentials = bearer(token);
    runtime.block_on(async {
        let (mut bare, mut gated) = (connect(bare, CONNECTIONS).await?, connect(gated, CONNECTIONS).await?);
        let mut throughput = Throughput { token: name, bare: Vec::new(), gated: Vec::new(), ratios: Vec::new() };
        for pair in 0..=PAIRS {
            // The order alternates, so that neither side benefits from being first.
            let (without, with) = if pair % 2 == 0 {
                let without = turn(&mut bare, &credentials).await?;
                (without, turn(&mut gated, &credentials).await?)
            } else {
                let with = turn(&mut gated, &credentials).await?;
                (turn(&mut bare, &credentials).await?, with)
            };
            // The first pair is a warm-up.
            if pair > 0 {
                throughput.bare.push(without);
                throughput.gated.push(with);
                throughput.ratios.push(with / without);
            }
        }
        Ok(throughput)
    })
}

pub(crate) async fn connect(server: SocketAddr, count: usize) -> io::Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let socket = TcpStream::connect(server).await?;
        socket.set_nodelay(true)?;
        let (requests, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        connections.push(requests);
    }
    Ok(connections)
}

/// Measures the requests per second in one turn.
async fn turn(connections: &mut [Connection], credentials: &HeaderValue) -> Result<f64, Box<dyn Error>> {
    let begun = Instant::now();
    let requests = connections.iter_mut().map(|connection| requests_until(begun + TURN, connection, credentials));
    let requests: usize = try_join_all(requests).await?.into_iter().sum();
    Ok(requests as f64 / begun.elapsed().as_secs_f64())
}

/// Sends requests in sequence.
async fn requests_until(end: Instant, connection: &mut Connection, credentials: &HeaderValue) -> hyper::Result<usize> {
    let mut requests = 0;
    while Instant::now() < end {
        connection.ready().await?;
        let response = connection.send_request(mcp::request(credentials.clone())).await?;
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await?;
        requests += 1;
    }
    Ok(requests)
}
