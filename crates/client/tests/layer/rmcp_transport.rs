//! Scenarios J and K: a token manager under rmcp's own HTTP transport, against rmcp's server.

use std::{sync::Arc, time::Duration};

use axum::Router;
use futures_util::future::join_all;
use portcullis_client::{TokenManager, adapters::RmcpClient};
use rmcp::{
    RoleClient, ServiceError, ServiceExt as _,
    model::{ClientRequest, ListToolsRequest},
    service::{PeerRequestOptions, RunningService},
    tool, tool_router,
    transport::{
        StreamableHttpClientTransport,
        streamable_http_client::{AuthRequiredError, StreamableHttpClientTransportConfig},
        streamable_http_server::{StreamableHttpService, session::local::LocalSessionManager},
    },
};

use crate::world::World;

#[derive(Clone)]
struct Tools;

#[tool_router(server_handler)]
impl Tools {
    #[tool(description = "Returns a greeting")]
    async fn greet(&self) -> String {
        "hello".to_owned()
    }
}

async fn serve(world: &World) -> String {
    let service = StreamableHttpService::new(|| Ok(Tools), Arc::<LocalSessionManager>::default(), Default::default());
    world.serve(Router::new().route_service("/mcp", service)).await
}

type Client = RunningService<RoleClient, ()>;

async fn connect(manager: TokenManager) -> Client {
    let config = StreamableHttpClientTransportConfig::with_uri(manager.resource().as_str());
    let client = RmcpClient::new(reqwest::Client::new(), manager);
    ().serve(StreamableHttpClientTransport::with_client(client, config)).await.unwrap()
}

async fn list_tools(client: &Client, limit: Duration) -> Result<(), ServiceError> {
    let request = ClientRequest::ListToolsRequest(ListToolsRequest::default());
    let options = PeerRequestOptions::with_timeout(limit);
    let handle = client.send_cancellable_request(request, options).await?;
    handle.await_response().await.map(drop)
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn scenario_j_a_request_that_times_out_during_a_refresh_loses_no_login() {
    let world = World::default();
    let client = connect(world.manager_for(&serve(&world).await)).await;
    list_tools(&client, LONG).await.unwrap();
    world.revoke_access_tokens();
    world.state().exchange_time = Duration::from_millis(600);
    let timed_out = list_tools(&client, Duration::from_millis(200)).await;
    assert!(matches!(timed_out, Err(ServiceError::Timeout { .. })), "{timed_out:?}");
    for _ in 0..10 {
        list_tools(&client, LONG).await.unwrap();
    }
    let (exchanges, _, reuses) = world.counts();
    assert_eq!((exchanges, reuses), (2, 0));
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn scenario_k_a_hundred_requests_of_one_session_cause_one_exchange() {
    let world = World::default();
    let client = connect(world.manager_for(&serve(&world).await)).await;
    list_tools(&client, LONG).await.unwrap();
    world.revoke_access_tokens();
    world.state().exchange_time = Duration::from_millis(20);
    let lists = join_all((0..100).map(|_| list_tools(&client, LONG))).await;
    assert!(lists.iter().all(Result::is_ok), "{lists:?}");
    let (exchanges, _, reuses) = world.counts();
    assert_eq!((exchanges, reuses), (2, 0));
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_request_without_a_login_fails_with_the_challenge() {
    let world = World::default();
    world.state().is_interactive = true;
    let url = serve(&world).await;
    let client = RmcpClient::new(reqwest::Client::new(), world.manager_for(&url));
    let transport =
        StreamableHttpClientTransport::with_client(client, StreamableHttpClientTransportConfig::with_uri(url));
    let error = ().serve(transport).await.map(drop).unwrap_err();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut found = false;
    while let Some(current) = source {
        found |= current.is::<AuthRequiredError>();
        source = current.source();
    }
    assert!(found || format!("{error:?}").contains("AuthRequired"), "{error:?}");
    assert_eq!(world.state().exchanges, 0);
}
