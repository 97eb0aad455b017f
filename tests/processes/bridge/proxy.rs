//! [`Proxy`]: the address by which a bridge is known, whichever processes are behind it at the moment.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::body::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// A socket that carries connections to the processes that are [open](Self::open), to one after the other. Without one it breaks
/// connections off.
pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    ports: watch::Sender<Vec<u16>>,
    /// How many connections came.
    connections: watch::Sender<usize>,
    /// Receives the answer that its client does not get.
    loses: Mutex<Option<oneshot::Sender<Bytes>>>,
}

impl Proxy {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (ports, connections) = (watch::Sender::default(), watch::Sender::default());
        let shared = Arc::new(Shared { ports, connections, loses: Mutex::default() });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { url, shared, server }
    }

    /// From now on there is a process on this port.
    pub(crate) fn open(&self, port: u16) {
        self.shared.ports.send_modify(|ports| ports.push(port));
    }

    /// From now on there is none on this port.
    pub(crate) fn close(&self, port: u16) {
        self.shared.ports.send_modify(|ports| ports.retain(|open| *open != port));
    }

    /// Waits until there is a process.
    pub(crate) async fn is_open(&self) {
        self.shared.ports.subscribe().wait_for(|ports| !ports.is_empty()).await.expect("it lives");
    }

    /// Waits for `more` further connections.
    pub(crate) async fn carries(&self, more: usize) {
        let mut connections = self.shared.connections.subscribe();
        let wanted = *connections.borrow() + more;
        connections.wait_for(|connections| *connections >= wanted).await.expect("it lives");
    }

    /// The next request is answered, and its sender hears nothing of it: the connection breaks off. The body of the answer.
    pub(crate) fn loses_an_answer(&self) -> oneshot::Receiver<Bytes> {
        let (sender, receiver) = oneshot::channel();
        *self.shared.loses.lock().expect("a lock") = Some(sender);
        receiver
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let connection = *shared.connections.borrow();
        shared.connections.send_replace(connection + 1);
        let port = {
            let ports = shared.ports.borrow();
            ports.get(connection % ports.len().max(1)).copied()
        };
        let Some(port) = port else { continue };
        let loses = shared.loses.lock().expect("a lock").take();
        // A process that was killed breaks off, and so does its proxy.
        tokio::spawn(carry(client, port, loses));
    }
}

async fn carry(mut client: TcpStream, port: u16, loses: Option<oneshot::Sender<Bytes>>) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let Some(witness) = loses else { return copy_bidirectional(&mut client, &mut server).await.map(drop) };
    let ((mut question, _), (mut answer, mut sent)) = (client.split(), server.split());
    tokio::select! {
        answer = whole(&mut answer) => drop(witness.send(answer?)),
        _ = copy(&mut question, &mut sent) => {}
    }
    Ok(())
}

/// The body of a response, when it is there to its end, [RFC 9112 section 6.2](https://www.rfc-editor.org/rfc/rfc9112#section-6.2).
async fn whole(response: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.expect("a length").trim().parse().expect("a number");
            if read.len() >= end + 4 + length {
                return Ok(read.split_off(end + 4).into());
            }
        }
        if response.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
