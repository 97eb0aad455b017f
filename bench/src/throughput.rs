//! HTTP over the loopback, axum with the gate and without, in turns.

use std::{
    error::Error,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use axum::Router;
use portcullis::AuthLayer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::JoinSet,
};

use crate::{
    mcp,
    provider::{Providers, Tokens},
};

/// Connections that are kept alive, each with one request under way.
const CONNECTIONS: usize = 16;
const PAIRS: usize = 40;
const TURN: Duration = Duration::from_millis(200);

/// Requests a second.
pub(crate) struct Throughput {
    /// What the token was.
    pub(crate) token: &'static str,
    /// Without the gate, in each turn.
    pub(crate) bare: Vec<f64>,
    /// With it.
    pub(crate) gated: Vec<f64>,
    /// The quotients of neighbouring turns.
    pub(crate) ratios: Vec<f64>,
}

/// For an opaque token and a JWT.
pub(crate) fn run(
    runtime: &Runtime,
    providers: &Providers,
    tokens: &Tokens,
) -> Result<[Throughput; 2], Box<dyn Error>> {
    let bare = serve(mcp::router())?;
    let gated = serve(mcp::router().layer(AuthLayer::new(providers.config()?)))?;
    Ok([
        in_turns(runtime, "opaque token", &tokens.opaque, bare, gated)?,
        in_turns(runtime, "JWT", &tokens.jwt, bare, gated)?,
    ])
}

/// A server on a thread of its own, until the process ends.
fn serve(router: Router) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await.expect("a server");
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
    let request = request(token);
    runtime.block_on(async {
        let mut throughput = Throughput { token: name, bare: Vec::new(), gated: Vec::new(), ratios: Vec::new() };
        turn(bare, &request).await?;
        turn(gated, &request).await?;
        for pair in 0..PAIRS {
            // Whoever goes first has no advantage of it in the sum.
            let (without, with) = if pair % 2 == 0 {
                let without = turn(bare, &request).await?;
                (without, turn(gated, &request).await?)
            } else {
                let with = turn(gated, &request).await?;
                (turn(bare, &request).await?, with)
            };
            throughput.bare.push(without);
            throughput.gated.push(with);
            throughput.ratios.push(with / without);
        }
        Ok(throughput)
    })
}

/// Requests a second in one turn.
async fn turn(server: SocketAddr, request: &str) -> Result<f64, Box<dyn Error>> {
    let mut connections = JoinSet::new();
    let end = Instant::now() + TURN;
    for _ in 0..CONNECTIONS {
        let request = request.to_owned();
        connections.spawn(async move { requests_until(end, server, request.as_bytes()).await.expect("an exchange") });
    }
    let begun = Instant::now();
    let requests: usize = connections.join_all().await.into_iter().sum();
    Ok(requests as f64 / begun.elapsed().as_secs_f64())
}

/// Requests one after the other. The client does next to nothing, so that the server is what is measured.
async fn requests_until(end: Instant, server: SocketAddr, request: &[u8]) -> std::io::Result<usize> {
    let mut socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let (mut requests, mut buffer, mut length) = (0, [0; 1024], None);
    while Instant::now() < end {
        socket.write_all(request).await?;
        match length {
            // All responses are as long as the first.
            Some(length) => {
                socket.read_exact(&mut buffer[..length]).await?;
            }
            None => length = Some(socket.read(&mut buffer).await?),
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buffer));
        requests += 1;
    }
    Ok(requests)
}

/// The request of the other measurements, as bytes.
fn request(token: &str) -> String {
    let request = mcp::request::<axum::body::Body>(mcp::bearer(token));
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
    }
    text + "\r\n" + mcp::CALL
}
