//! The scenarios of MCP clients: a session over rmcp's transport, and a client that sends its requests in parallel.

use std::{sync::Arc, time::Duration};

use portcullis_testkit::Endpoint;
use rmcp::{
    RoleClient, ServiceExt as _,
    model::{ClientRequest, ListToolsRequest},
    service::{PeerRequestOptions, RunningService},
    transport::{
        StreamableHttpClientTransport,
        streamable_http_client::{StreamableHttpClient, StreamableHttpClientTransportConfig},
    },
};
use tokio::time::sleep;

use super::{Client, Held, Outcome, Refusal, Site};

/// Something that renews tokens for MCP clients.
pub(crate) trait McpContender {
    /// What rmcp's transport sends its messages by.
    type Http: StreamableHttpClient + Sync;
    /// What sends requests without a transport.
    type Parallel: Client;

    /// An HTTP client for rmcp's transport, with the tokens `held`.
    fn http(&self, site: &Site, held: &Held) -> impl Future<Output = Self::Http>;

    /// A client whose calls do not wait for each other, with the tokens `held`.
    fn parallel(&self, site: &Site, held: &Held) -> impl Future<Output = Self::Parallel>;
}

/// A scenario of MCP clients, by its letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum McpScenario {
    J,
    K,
    L,
}

/// All of them, and what happens in each.
pub(crate) const MCP_SCENARIOS: [(McpScenario, &str); 3] = [
    (
        McpScenario::J,
        "`list_tools` through rmcp's transport gives up after 0.2 s, while the refresh of its refused token takes 0.6 s; then 10 more",
    ),
    (McpScenario::K, "100 `list_tools` on one session of rmcp's transport, the resource refuses the token"),
    (McpScenario::L, "100 calls in parallel, without rmcp's transport and its lock, expired as in A"),
];

/// Plays it: what each burst of calls comes to.
pub(crate) async fn play_mcp<C: McpContender>(scenario: McpScenario, contender: &C, site: &Site) -> Vec<Outcome> {
    match scenario {
        McpScenario::J => gives_up(contender, site).await,
        McpScenario::K => {
            let held = site.held_for(Duration::ZERO);
            let session = Session::connect(contender.http(site, &held).await, site).await;
            site.idp.revoke(&held.grant.access_token);
            vec![site.burst(&[session], 100).await]
        }
        McpScenario::L => {
            let client = contender.parallel(site, &site.expired()).await;
            vec![site.burst(&[client], 100).await]
        }
    }
}

async fn gives_up<C: McpContender>(contender: &C, site: &Site) -> Vec<Outcome> {
    let held = site.held_for(Duration::ZERO);
    let session = Session::connect(contender.http(site, &held).await, site).await;
    site.idp.revoke(&held.grant.access_token);
    // The provider rotates at once, and its answer is on its way for a while.
    site.idp.set_latency(Endpoint::Token, Duration::ZERO);
    site.idp.set_answer_latency(Endpoint::Token, Duration::from_millis(600));
    let given_up = session.list_tools(Duration::from_millis(200)).await;
    assert_eq!(given_up, Err(Refusal::Later), "the request gives up while it waits");
    sleep(Duration::from_secs(1)).await;
    site.idp.set_answer_latency(Endpoint::Token, Duration::ZERO);
    let first = Outcome { exchanges: site.idp.calls(Endpoint::Token), ..Outcome::default() };
    vec![first, site.burst(&[session], 10).await]
}

/// A session of an MCP client.
#[derive(Clone)]
struct Session(Arc<RunningService<RoleClient, ()>>);

impl Session {
    async fn connect(http: impl StreamableHttpClient + Sync, site: &Site) -> Self {
        let config = StreamableHttpClientTransportConfig::with_uri(site.idp.endpoint_url(Endpoint::UserInfo));
        let transport = StreamableHttpClientTransport::with_client(http, config);
        Self(Arc::new(().serve(transport).await.expect("a session")))
    }

    async fn list_tools(&self, limit: Duration) -> Result<(), Refusal> {
        let request = ClientRequest::ListToolsRequest(ListToolsRequest::default());
        let options = PeerRequestOptions::with_timeout(limit);
        let handle = self.0.send_cancellable_request(request, options).await;
        let response = match handle {
            Ok(handle) => handle.await_response().await,
            Err(error) => Err(error),
        };
        match response {
            Ok(_) => Ok(()),
            // An error of the transport is known by its text only.
            Err(error) if format!("{error:?}").contains("Auth") => Err(Refusal::Login),
            Err(_) => Err(Refusal::Later),
        }
    }
}

impl Client for Session {
    async fn call(&self) -> Result<(), Refusal> {
        self.list_tools(Duration::from_secs(20)).await
    }
}
