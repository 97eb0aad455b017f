//! A command line that logs in to any MCP server, lists its tools and calls them, also concurrently.
//!
//! ```text
//! cargo run -p mcp-client -- tools http://127.0.0.1:8000/mcp
//! cargo run -p mcp-client -- call http://127.0.0.1:8000/mcp whoami --times 20
//! ```

mod conformance;
mod session;

use std::{error::Error, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Parser, Subcommand};
use futures_util::future::join_all;
use portcullis_client::{Generation, Issuer, McpLogin, ResourceUri, ScopeSet, TokenManager, UserAgent};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_oauth::{
    ClientAuthentication,
    registration::{ClientDocumentUrl, ClientMetadata},
};
use portcullis_refresh::GrantStore;
use portcullis_store::{KeyRing, MemoryStore, Store};
use portcullis_store_sqlite::SqliteStore;
use rmcp::model::CallToolRequestParams;
use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Logs in to an MCP server and uses its tools.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the tools.
    Tools(Server),
    /// Call a tool.
    Call {
        #[command(flatten)]
        server: Server,
        /// The name of the tool.
        tool: String,
        /// The arguments, as a JSON object.
        #[arg(default_value = "{}")]
        arguments: String,
        /// How many calls to make at the same time.
        #[arg(long, default_value_t = 1)]
        times: usize,
    },
    /// Log in, even if there is a login.
    Login(Server),
    /// Forget the login.
    Logout(Server),
    /// Run a client scenario of the MCP conformance suite.
    #[command(hide = true)]
    Conformance { url: String },
}

#[derive(Args)]
struct Server {
    /// The URL of the MCP server.
    url: String,
    /// Scopes to request, beside those that the server names.
    #[arg(long, default_value = "")]
    scope: String,
    /// The authorization server at which the client is registered.
    #[arg(long, requires = "client_id")]
    issuer: Option<String>,
    /// The registered client.
    #[arg(long, requires = "issuer")]
    client_id: Option<String>,
    /// Its secret.
    #[arg(long, env = "MCP_CLIENT_SECRET", hide_env_values = true, requires = "client_id")]
    client_secret: Option<String>,
    /// The URL of the client's metadata document.
    #[arg(long)]
    client_document: Option<String>,
    /// A database in which the login is kept, sealed with the key in `--key`.
    #[arg(long, requires = "key")]
    store: Option<PathBuf>,
    /// A file with a key of 32 bytes, in base64: `openssl rand -base64 32`.
    #[arg(long)]
    key: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp-client: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Tools(server) => {
            let manager = manager(&server).await?;
            let session = session::connect(manager.clone(), None).await?;
            for tool in session.list_all_tools().await? {
                println!("{}\t{}", tool.name, tool.description.as_deref().unwrap_or_default());
            }
            session.cancel().await?;
            manager.shutdown().await;
        }
        Command::Call { server, tool, arguments, times } => {
            let arguments: Map<String, Value> = serde_json::from_str(&arguments)?;
            let manager = manager(&server).await?;
            let session = session::connect(manager.clone(), None).await?;
            let call = || session.call_tool(CallToolRequestParams::new(tool.clone()).with_arguments(arguments.clone()));
            for result in join_all((0..times).map(|_| call())).await {
                println!("{}", serde_json::to_string(&result?.content)?);
            }
            let refreshes = manager.snapshot().generation.map_or(0, Generation::number);
            eprintln!("calls: {times}, refreshes since the login: {refreshes}");
            session.cancel().await?;
            manager.shutdown().await;
        }
        Command::Login(server) => {
            let manager = manager(&server).await?;
            manager.login(&ScopeSet::parse(&server.scope)?).await?;
            println!("logged in: {}", manager.snapshot().scopes);
            manager.shutdown().await;
        }
        Command::Logout(server) => manager(&server).await?.logout().await?,
        Command::Conformance { url } => conformance::run(&url).await?,
    }
    Ok(())
}

/// Creates the manager of the tokens for a server: one for all requests, tasks and transports of the process.
async fn manager(server: &Server) -> Result<TokenManager> {
    let resource = ResourceUri::new(&server.url)?;
    let browser = UserAgent::loopback(|url| {
        eprintln!("Open this page to log in:\n{url}");
        Ok(())
    });
    let (store, keys): (Arc<dyn Store>, _) = match (&server.store, &server.key) {
        (Some(store), Some(key)) => (Arc::new(SqliteStore::open(store.as_path()).await?), KeyRing::from_file(key)?),
        _ => (Arc::new(MemoryStore::new()), KeyRing::ephemeral()),
    };
    let store = GrantStore::open(store, keys).await?;
    let mut login =
        McpLogin::new(resource, ClientMetadata::new("Portcullis mcp-client"), browser, egress(&server.url)?)
            .with_scopes(ScopeSet::parse(&server.scope)?)
            .with_store(store.sealed_store().clone());
    if let (Some(issuer), Some(id)) = (&server.issuer, &server.client_id) {
        let client = match &server.client_secret {
            Some(secret) => ClientAuthentication::basic(id, secret.as_str().into()),
            None => ClientAuthentication::public(id),
        };
        login = login.with_client(Issuer::new(issuer)?, client);
    }
    if let Some(url) = &server.client_document {
        login = login.with_client_document(ClientDocumentUrl::new(url)?);
    }
    Ok(TokenManager::builder(login).with_store(store).with_login_on_demand().build())
}

/// Creates the outbound client for discovery and tokens. Loopback is allowed for a server on loopback only.
fn egress(url: &str) -> Result<Egress> {
    let config = EgressConfig::new();
    let is_loopback = ResourceUri::new(url)?.origin().starts_with("http://");
    Ok(Egress::new(if is_loopback { config.with_loopback_allowed() } else { config })?)
}
