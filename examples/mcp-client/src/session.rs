//! An MCP session over rmcp's HTTP transport, with the tokens of a manager.

use portcullis_client::{
    TokenManager,
    adapters::{self, RmcpClient},
};
use rmcp::{
    ClientLifecycleMode, ClientServiceExt as _, RoleClient,
    model::{ClientConfig, ProtocolVersion},
    service::RunningService,
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};

use crate::Result;

/// Connects to the resource of `manager`, on the wire of the revision `version` of MCP; without one on the newest that the server has.
pub(crate) async fn connect(
    manager: TokenManager,
    version: Option<&str>,
) -> Result<RunningService<RoleClient, ClientConfig>> {
    let modern = || vec![ProtocolVersion::V_2026_07_28];
    let lifecycle = match version {
        Some("2026-07-28") => ClientLifecycleMode::Discover { preferred_versions: modern() },
        Some(_) => ClientLifecycleMode::Initialize,
        None => ClientLifecycleMode::Auto { preferred_versions: modern(), legacy_version: None },
    };
    let config = StreamableHttpClientTransportConfig::with_uri(manager.resource().as_str());
    let http = reqwest::Client::builder().redirect(adapters::within_origin()).build()?;
    let client = RmcpClient::new(http, manager);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    Ok(ClientConfig::default().serve_with_lifecycle(transport, lifecycle).await?)
}
