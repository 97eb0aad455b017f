//! [`UserSessions`]: the sessions of MCP clients, limited per user.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::Stream;
use http::request::Parts;
use portcullis::{UserContext, types::Principal};
use rmcp::{
    model::{ClientJsonRpcMessage, GetExtensions, ServerJsonRpcMessage},
    transport::streamable_http_server::session::{
        ServerSseMessage, SessionId, SessionManager,
        local::{LocalSessionManager, LocalSessionManagerError},
    },
};

/// The sessions of rmcp, limited per user: each takes about 50 KiB of memory.
///
/// When a user exceeds [`SESSIONS_PER_PRINCIPAL`], the least recently used session of that user ends. A session is counted before its
/// first response is sent, so that a client that disconnects before the response leaves no uncounted session.
///
/// An idle session lives for a working day. Clients that do not begin a session anew after a 404, such as those of version 1 of the
/// Python SDK, would otherwise fail until their user restarts them.
#[derive(Debug)]
pub(crate) struct UserSessions {
    local: Arc<LocalSessionManager>,
    owners: Mutex<Owners>,
}

/// The number of concurrent sessions of a user, through all clients.
const SESSIONS_PER_PRINCIPAL: usize = 100;

/// The time after which an idle session ends.
const IDLE: Duration = Duration::from_hours(12);

impl Default for UserSessions {
    fn default() -> Self {
        let mut local = LocalSessionManager::default();
        local.session_config.keep_alive = Some(IDLE);
        Self { local: Arc::new(local), owners: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Owners {
    /// The sessions of each user, least recently used first.
    sessions: HashMap<Principal, VecDeque<SessionId>>,
    principals: HashMap<SessionId, Principal>,
}

impl Owners {
    /// Adds the session `id` of `principal`. Returns the session that must end because the limit is exceeded.
    fn begin(&mut self, id: &SessionId, principal: &Principal) -> Option<SessionId> {
        self.principals.insert(id.clone(), principal.clone());
        let sessions = self.sessions.entry(principal.clone()).or_default();
        sessions.push_back(id.clone());
        if sessions.len() <= SESSIONS_PER_PRINCIPAL {
            return None;
        }
        let ended = sessions.pop_front()?;
        self.principals.remove(&ended);
        Some(ended)
    }

    /// Marks the session as the most recently used one of its user.
    fn note_use(&mut self, id: &SessionId) {
        let Some(sessions) = self.principals.get(id).and_then(|principal| self.sessions.get_mut(principal)) else {
            return;
        };
        if let Some(at) = sessions.iter().position(|other| other == id)
            && let Some(id) = sessions.remove(at)
        {
            sessions.push_back(id);
        }
    }

    fn end(&mut self, id: &SessionId) {
        let Some(principal) = self.principals.remove(id) else { return };
        if let Some(sessions) = self.sessions.get_mut(&principal) {
            sessions.retain(|other| other != id);
            if sessions.is_empty() {
                self.sessions.remove(&principal);
            }
        }
    }
}

impl UserSessions {
    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionManager for UserSessions {
    type Error = LocalSessionManagerError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        self.local.create_session().await
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        let Some(principal) = principal(&message) else {
            tracing::error!(
                "no user context in the request: the authentication layer is missing in front of this server"
            );
            self.local.close_session(id).await?;
            return Err(LocalSessionManagerError::SessionNotFound(id.clone()));
        };
        let ended = self.owners().begin(id, &principal);
        if let Some(ended) = ended {
            tracing::debug!(?principal, "session closed: its user has exceeded the number of sessions");
            let local = Arc::clone(&self.local);
            // A separate task, which is not cancelled when the client that opens the new session disconnects.
            tokio::spawn(async move {
                if let Err(error) = local.close_session(&ended).await {
                    tracing::warn!(%error, "a session could not be closed");
                }
            });
        }
        self.local.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.owners().note_use(id);
        self.local.has_session(id).await
    }

    /// Called when the client ends a session, and when rmcp ends an idle session.
    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.owners().end(id);
        self.local.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.create_stream(id, message).await
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        self.local.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.resume(id, last_event_id).await
    }
}

/// Returns the principal that sent `message`, according to the authentication layer.
fn principal(message: &ClientJsonRpcMessage) -> Option<Principal> {
    let ClientJsonRpcMessage::Request(request) = message else { return None };
    let user = request.request.extensions().get::<Parts>()?.extensions.get::<Arc<UserContext>>()?;
    Some(user.principal().clone())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, Response, StatusCode, header};
    use portcullis::{
        AuthConfig, AuthLayer, BearerToken, Issuer, ResourceUri, oauth::protected_resource::ProtectedResourceMetadata,
        types::AuthError,
    };
    use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::tools::Tools;

    const MOST: usize = SESSIONS_PER_PRINCIPAL;

    /// The tools behind an authentication layer whose verifier derives the subject from the length of the token.
    struct Server {
        sessions: Arc<UserSessions>,
        app: axum::Router,
    }

    impl Server {
        fn new() -> Self {
            let sessions = Arc::new(UserSessions::default());
            let config = StreamableHttpServerConfig::default().with_allowed_hosts(["mcp.example"]);
            let mcp = StreamableHttpService::new(|| Ok(Tools::default()), Arc::clone(&sessions), config);
            let issuer = Issuer::new("https://idp.example").expect("an issuer");
            let resource = ResourceUri::new("https://mcp.example/mcp").expect("a resource");
            let verifier = service_fn({
                let issuer = issuer.clone();
                move |token: BearerToken| {
                    let user = UserContext::builder(issuer.clone(), &token.len().to_string()).build();
                    std::future::ready(Ok::<_, AuthError>(Arc::new(user)))
                }
            });
            let metadata = ProtectedResourceMetadata::new(resource, issuer);
            let app = axum::Router::new()
                .route_service("/mcp", mcp)
                .layer(AuthLayer::new(AuthConfig::new(metadata, verifier)));
            Self { sessions, app }
        }

        async fn send(&self, token: &str, session: Option<&str>, message: &str) -> Response<Body> {
            let mut request = Request::post("/mcp")
                .header(header::HOST, "mcp.example")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, "application/json, text/event-stream");
            if let Some(session) = session {
                request = request.header("mcp-session-id", session);
            }
            let request = request.body(Body::from(message.to_owned())).expect("a request");
            self.app.clone().oneshot(request).await.expect("a response")
        }

        /// Opens a session, without the notification that completes its initialization.
        async fn open(&self, token: &str) -> String {
            let response = self.send(token, None, INITIALIZE).await;
            assert_eq!(response.status(), StatusCode::OK);
            response.headers()["mcp-session-id"].to_str().expect("text").to_owned()
        }

        /// Returns the status of a notification in `session`.
        async fn notify(&self, token: &str, session: &str) -> StatusCode {
            self.send(token, Some(session), INITIALIZED).await.status()
        }

        /// Returns the number of sessions in rmcp, after the tasks that close sessions have run.
        async fn count(&self) -> usize {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.sessions.local.sessions.read().await.len()
        }
    }

    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
    const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

    // The length of a token determines its user.
    const ALICE: &str = "a";
    const BOB: &str = "bb";

    #[tokio::test]
    async fn many_sessions_of_one_user_end_no_session_of_another_user() {
        let server = Server::new();
        let of_bob = server.open(BOB).await;
        let first = server.open(ALICE).await;
        let mut last = String::new();
        for _ in 1..5 * MOST {
            last = server.open(ALICE).await;
        }
        assert_eq!(server.count().await, MOST + 1, "a hundred of Alice's and one of Bob's");
        assert_eq!(server.notify(BOB, &of_bob).await, StatusCode::ACCEPTED);
        assert_eq!(server.notify(ALICE, &last).await, StatusCode::ACCEPTED);
        assert_eq!(server.notify(ALICE, &first).await, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_least_recently_used_session_ends_first() {
        let server = Server::new();
        let (first, second) = (server.open(ALICE).await, server.open(ALICE).await);
        for _ in 2..MOST {
            server.open(ALICE).await;
        }
        assert_eq!(server.notify(ALICE, &first).await, StatusCode::ACCEPTED);
        server.open(ALICE).await;
        assert_eq!(server.notify(ALICE, &first).await, StatusCode::ACCEPTED);
        assert_eq!(server.notify(ALICE, &second).await, StatusCode::NOT_FOUND);
        assert_eq!(server.count().await, MOST);
    }

    #[tokio::test]
    async fn clients_that_disconnect_before_the_response_cannot_exceed_the_limit() {
        let server = Server::new();
        for n in (0..1_000_u64).step_by(4) {
            let opening = server.send(ALICE, None, INITIALIZE);
            // The disconnect happens at any time between the request and the response.
            drop(tokio::time::timeout(Duration::from_micros(n), opening).await);
        }
        assert!(server.count().await <= MOST, "{}", server.count().await);
        let owners = server.sessions.owners();
        assert!(owners.principals.len() <= MOST && owners.sessions.values().map(VecDeque::len).sum::<usize>() <= MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_session_lives_for_a_working_day() {
        let server = Server::new();
        let session = server.open(ALICE).await;
        assert_eq!(server.notify(ALICE, &session).await, StatusCode::ACCEPTED);
        tokio::time::sleep(IDLE - Duration::from_mins(1)).await;
        assert_eq!(server.notify(ALICE, &session).await, StatusCode::ACCEPTED);
        tokio::time::sleep(IDLE + Duration::from_mins(1)).await;
        assert_eq!(server.count().await, 0);
        assert_eq!(server.notify(ALICE, &session).await, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_session_that_its_client_ends_is_removed() {
        let server = Server::new();
        let session = server.open(ALICE).await;
        let request = Request::delete("/mcp")
            .header(header::HOST, "mcp.example")
            .header(header::AUTHORIZATION, format!("Bearer {ALICE}"))
            .header("mcp-session-id", &session);
        let response = server.app.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
        assert!(response.expect("a response").status().is_success());
        assert_eq!(server.count().await, 0);
        let owners = server.sessions.owners();
        assert!(owners.principals.is_empty() && owners.sessions.is_empty());
    }
}
