//! [`Observed`]: the provider on a socket, and what became of each grant there.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::Response,
    serve::IncomingStream,
};
use portcullis::types::{Clock, GrantId, SystemClock, UnixTime};
use portcullis_testkit::{IdentityProvider, TokenPolicy};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tower::{ServiceExt as _, service_fn};

use crate::child::PATIENCE;

/// The provider, and what became of each grant there.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) idp: IdentityProvider,
    ledger: Arc<Mutex<Ledger>>,
    /// How long an answer is under way, at most.
    slowness: Duration,
    /// Connections, and requests that are processed.
    open: TaskTracker,
}

#[derive(Default)]
struct Ledger {
    /// Whose a refresh token is, used up or not.
    grants: HashMap<String, GrantId>,
    histories: HashMap<GrantId, History>,
}

/// What became of a grant.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct History {
    /// How often its refresh token was replaced.
    pub(crate) rotations: u64,
    /// By when it was at its end, because a refresh token was presented twice.
    pub(crate) ended_at: Option<UnixTime>,
}

/// It stands still: tokens do not expire, whatever is told. So whatever is refused has ended.
#[derive(Debug)]
pub(crate) struct Still(pub(crate) UnixTime);

impl Clock for Still {
    fn now(&self) -> UnixTime {
        self.0
    }
}

impl Observed {
    /// A provider that says of its tokens that they live for `token_lifetime`.
    pub(crate) async fn serve(token_lifetime: Duration, slowness: Duration) -> (Self, String, JoinHandle<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let clock = Arc::new(Still(SystemClock::new().now()));
        let idp = IdentityProvider::new().with_issuer(&issuer).with_clock(clock);
        idp.set_token_policy(TokenPolicy::new().with_access_token_lifetime(token_lifetime));
        let this = Self { idp, ledger: Arc::default(), slowness, open: TaskTracker::new() };
        let (open, app) = (this.open.clone(), Router::new().fallback(answer).with_state(this.clone()));
        // A connection has a service of its own, which is dropped with it.
        let connected = move |_: IncomingStream<'_, TcpListener>| {
            ready(Ok::<_, Infallible>(app.clone().layer(Extension(open.token()))))
        };
        let server =
            tokio::spawn(async { axum::serve(listener, service_fn(connected)).await.expect("it serves for ever") });
        (this, issuer, server)
    }

    /// A new grant of a user of the same name, and its tokens.
    pub(crate) fn issue(&self, grant: GrantId) -> (String, String) {
        let issued = self.idp.issue_grant(&grant.to_string(), "openid");
        self.ledger().grants.insert(issued.refresh_token.clone(), grant);
        (issued.access_token, issued.refresh_token)
    }

    pub(crate) fn history(&self, grant: GrantId) -> History {
        self.ledger().histories.get(&grant).copied().unwrap_or_default()
    }

    /// Waits until everything that processes have sent is processed and noted, when all of them have ended.
    pub(crate) async fn is_settled(&self) {
        // Connections are accepted in the order in which they came: this is the last.
        let address = self.idp.issuer().replace("http://", "");
        let mut last = TcpStream::connect(address).await.expect("a connection");
        last.write_all(b"GET / HTTP/1.1\r\nhost: provider\r\nconnection: close\r\n\r\n").await.expect("no failure");
        last.read_to_end(&mut Vec::new()).await.expect("an answer");
        self.open.close();
        timeout(PATIENCE, self.open.wait()).await.expect("connections of dead processes are closed");
    }

    async fn process(self, request: Request) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let form = url::form_urlencoded::parse(&body).into_owned().find(|(name, _)| name == "refresh_token");
        let response = self.idp.clone().oneshot(Request::from_parts(parts, body.clone())).await.expect("an answer");
        if let Some((_, presented)) = form {
            self.note(&presented, &response);
        }
        response
    }

    fn note(&self, presented: &str, response: &Response<Bytes>) {
        let body: Value = serde_json::from_slice(response.body()).expect("JSON");
        let mut ledger = self.ledger();
        let grant = ledger.grants.get(presented).copied().expect("a refresh token of this provider");
        match body["refresh_token"].as_str() {
            Some(next) => {
                ledger.grants.insert(next.to_owned(), grant);
                ledger.histories.entry(grant).or_default().rotations += 1;
            }
            None => {
                assert_eq!(body["error"], "invalid_grant");
                let ended_at = &mut ledger.histories.entry(grant).or_default().ended_at;
                ended_at.get_or_insert(SystemClock::new().now());
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("a lock")
    }
}

async fn answer(State(provider): State<Observed>, request: Request) -> Result<Response, Infallible> {
    let slowness = provider.slowness.mul_f64(rand::random());
    // What was sent is processed and noted, whether or not its sender still waits.
    let open = provider.open.clone();
    let response = open.spawn(provider.process(request)).await.expect("no panic");
    sleep(slowness).await;
    Ok(response.map(Body::from))
}
