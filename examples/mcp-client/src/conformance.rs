//! The client scenarios of the MCP conformance suite: each runs this program once, with its parameters in the environment.

use std::env;

use bytes::Bytes;
use portcullis_client::{
    ClientCredential, Discovery, DpopKey, Grant, Issuer, McpLogin, ResourceUri, TokenEndpoint, TokenLayer,
    TokenManager, TokenSource, UserAgent,
    adapters::ReqwestService,
    grants::{ClientCredentials, CrossAppAccess, JwtBearer, TokenTarget},
};
use portcullis_egress::Egress;
use portcullis_oauth::{
    ClientAuthentication,
    jwt::SigningKey,
    registration::{ClientDocumentUrl, ClientMetadata},
};
use reqwest::{header::LOCATION, redirect::Policy};
use rmcp::model::{CallToolRequestParams, Tool};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tower::{Layer as _, ServiceExt as _};

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
        "auth/client-credentials-basic" => {
            let client = ClientAuthentication::basic(&context.client_id, secret(&context)?);
            manager(ClientCredentials::new(target(resource, &egress, client).await?))
        }
        "auth/client-credentials-jwt" => {
            let key = SigningKey::from_pem(&SecretString::from(context.private_key_pem))?;
            let client = ClientCredential::private_key_jwt(&context.client_id, key);
            manager(ClientCredentials::new(target(resource, &egress, client).await?))
        }
        "auth/wif-jwt-bearer" => {
            let client = ClientAuthentication::public(&context.client_id);
            manager(JwtBearer::new(target(resource, &egress, client).await?, given(context.valid_jwt)))
        }
        "auth/enterprise-managed-authorization" => {
            let client = ClientAuthentication::basic(&context.client_id, secret(&context)?);
            let target = target(resource, &egress, client).await?;
            let at_provider = ClientAuthentication::public(&context.idp_client_id);
            let (issuer, endpoint) = (Issuer::new(&context.idp_issuer)?, context.idp_token_endpoint.parse()?);
            let provider = TokenEndpoint::at(egress, issuer, endpoint, at_provider);
            manager(CrossAppAccess::new(target, "user", provider, given(context.idp_id_token)))
        }
        "auth/dpop" | "auth/dpop-nonce" => {
            let key = DpopKey::generate();
            let login = login(resource, egress, &context)?.with_dpop(key.clone());
            return bound_requests(url, manager(login), key, version.as_deref()).await;
        }
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

/// Sends a few requests of the revision `version` with a token that is bound to `key`, by the layer around a `reqwest` client: rmcp's
/// transport has no place for the proofs.
async fn bound_requests(url: &str, manager: TokenManager, key: DpopKey, version: Option<&str>) -> Result<()> {
    let client = TokenLayer::new(manager).with_dpop(key).layer(ReqwestService::new(reqwest::Client::new()));
    let version = version.unwrap_or("2025-11-25");
    let messages = if version == "2026-07-28" {
        // Without a session: each request states the revision.
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        ["server/discover", "tools/list"]
            .map(|method| json!({"jsonrpc": "2.0", "id": method, "method": method, "params": {"_meta": meta}}))
            .to_vec()
    } else {
        let info = json!({
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": {"name": "mcp-client", "version": "1"},
        });
        vec![
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info}),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
        ]
    };
    for message in messages {
        let method = message["method"].as_str().unwrap_or_default();
        let request = http::Request::post(url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", version)
            .header("mcp-method", method)
            .body(Bytes::from(message.to_string()))?;
        let response = client.clone().oneshot(request).await?;
        if !response.status().is_success() {
            return Err(format!("{method}: {}", response.status()).into());
        }
    }
    Ok(())
}

fn manager(grant: impl Grant) -> TokenManager {
    TokenManager::builder(grant).with_login_on_demand().build()
}

fn secret(context: &Context) -> Result<SecretString> {
    let secret = context.client_secret.clone().ok_or("the scenario has no client secret")?;
    Ok(secret.into())
}

fn given(token: String) -> TokenSource {
    TokenSource::from_fn(move || {
        let token = SecretString::from(token.as_str());
        async move { Ok(token) }
    })
}

/// Returns the target of a grant without a user, at the first authorization server that the resource names.
async fn target(resource: ResourceUri, egress: &Egress, client: impl Into<ClientCredential>) -> Result<TokenTarget> {
    let metadata = Discovery::new(egress.clone()).resource(&resource, None).await?;
    let metadata = metadata.ok_or("the resource has no metadata")?;
    let issuer = metadata.authorization_servers().first().ok_or("the resource names no authorization server")?;
    Ok(TokenTarget::new(metadata.resource().clone(), TokenEndpoint::discovered(egress.clone(), issuer.clone(), client)))
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
