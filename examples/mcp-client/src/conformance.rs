//! The client scenarios of the MCP conformance suite: each runs this program once, with its parameters in the environment.

use std::env;

use portcullis_client::{Grant, Issuer, McpLogin, ResourceUri, TokenManager, UserAgent};
use portcullis_egress::Egress;
use portcullis_oauth::{
    ClientAuthentication,
    registration::{ClientDocumentUrl, ClientMetadata},
};
use reqwest::{header::LOCATION, redirect::Policy};
use rmcp::model::{CallToolRequestParams, Tool};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Result, egress, session};

/// The document that the suite expects for this client.
const CLIENT_DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";
const REDIRECT_URI: &str = "http://localhost:3000/callback";

/// The parameters of a scenario.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    client_id: String,
    client_secret: Option<String>,
    private_key_pem: String,
    issuer: Option<String>,
    idp_client_id: String,
    idp_id_token: String,
    idp_issuer: String,
    idp_token_endpoint: String,
    valid_jwt: String,
}

/// Logs in to `url` in the way of the scenario, lists the tools and calls each.
pub(crate) async fn run(url: &str) -> Result<()> {
    let scenario = env::var("MCP_CONFORMANCE_SCENARIO")?;
    let version = env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").ok();
    let context: Context = match env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(context) => serde_json::from_str(&context)?,
        Err(_) => Context::default(),
    };
    let (resource, egress) = (ResourceUri::new(url)?, egress(url)?);
    let manager = match scenario.as_str() {
        _ => manager(login(resource, egress, &context)?),
    };
    let session = session::connect(manager.clone(), version.as_deref()).await?;
    for tool in session.list_all_tools().await? {
        let call = CallToolRequestParams::new(tool.name.clone()).with_arguments(arguments(&tool));
        if let Err(error) = session.call_tool(call).await {
            eprintln!("{}: {error:?}", tool.name);
        }
    }
    session.cancel().await?;
    manager.shutdown().await;
    Ok(())
}

fn manager(grant: impl Grant) -> TokenManager {
    TokenManager::builder(grant).with_login_on_demand().build()
}

fn login(resource: ResourceUri, egress: Egress, context: &Context) -> Result<McpLogin> {
    // The user consents at once: the authorization endpoint redirects.
    let client = reqwest::Client::builder().redirect(Policy::none()).build()?;
    let browser = UserAgent::custom(REDIRECT_URI, move |url| {
        let client = client.clone();
        async move {
            let response = client.get(url).send().await?;
            let location = response.headers().get(LOCATION).ok_or("the authorization server does not redirect")?;
            Ok(location.to_str()?.to_owned())
        }
    });
    let login = McpLogin::new(resource, ClientMetadata::new("Portcullis mcp-client"), browser, egress)
        .with_client_document(ClientDocumentUrl::new(CLIENT_DOCUMENT)?);
    Ok(match (&context.issuer, &context.client_secret) {
        (Some(issuer), Some(secret)) => {
            let client = ClientAuthentication::basic(&context.client_id, secret.as_str().into());
            login.with_client(Issuer::new(issuer)?, client)
        }
        _ => login,
    })
}

/// Returns arguments for a tool: a value for each one that its schema requires.
fn arguments(tool: &Tool) -> Map<String, Value> {
    let properties = tool.input_schema.get("properties").and_then(Value::as_object);
    let required = tool.input_schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    names
        .map(|name| {
            let kind = properties.and_then(|properties| properties.get(name)?.get("type")?.as_str());
            let value = match kind {
                Some("number" | "integer") => json!(1),
                Some("boolean") => json!(true),
                Some("object") => json!({}),
                Some("array") => json!([]),
                _ => json!("value"),
            };
            (name.to_owned(), value)
        })
        .collect()
}
