//! [`accept`]: one connection, ready to be served.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpStream};

/// Accepts one connection and sets `TCP_NODELAY` on it. Otherwise the second part of a response, such as the first event of a
/// stream, waits for the client to acknowledge the first part, which takes 40 ms.
///
/// # Errors
///
/// Those of accepting. Setting the option fails only on a connection that is gone already, which serving it will show.
pub async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set on an accepted connection");
    }
    Ok((stream, peer))
}
