//! An MCP server behind Portcullis, whose tools know the user.
//!
//! The server itself is the crate `portcullis-server`; this program adds the tools, an rmcp transport, and a demo.

mod demo;
mod sessions;
mod tools;

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use axum::Router;
use clap::Parser;
use portcullis::layer::scope::ToolScopesLayer;
use portcullis_server::{Config, ConfigError, RouteContext, ServeError, Server};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower::Layer as _;
use tracing_subscriber::EnvFilter;

use crate::{
    demo::{Demo, DemoError},
    sessions::UserSessions,
    tools::Tools,
};

/// An MCP server behind Portcullis.
///
/// Without arguments: a demo, with an identity provider in the same process. Every key of the configuration is also an environment
/// variable: PORTCULLIS__LISTEN, PORTCULLIS__CACHE__TTL, PORTCULLIS__RESOURCE_SERVER__ISSUERS__0__ISSUER.
#[derive(Parser, Debug)]
#[command(name = "mcp-server", version)]
struct Cli {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Validate the configuration and exit: 0 if it is valid, 2 if not.
    #[arg(long, requires = "config")]
    check: bool,
    /// Print the JSON Schema of the configuration file and exit.
    #[arg(long, conflicts_with_all = ["config", "check"])]
    print_schema: bool,
}

/// The reason why the program ends: one line on stderr.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum Failure {
    Config(#[from] ConfigError),
    Demo(#[from] DemoError),
    Serve(#[from] ServeError),
    Io(#[from] io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mcp-server: {failure}");
            match failure {
                Failure::Config(_) => ExitCode::from(2),
                Failure::Serve(error) if error.is_configuration() => ExitCode::from(2),
                Failure::Demo(_) | Failure::Serve(_) | Failure::Io(_) => ExitCode::FAILURE,
            }
        }
    }
}

async fn run(cli: &Cli) -> Result<(), Failure> {
    if cli.print_schema {
        print(&format!("{:#}", Config::json_schema()));
        return Ok(());
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,portcullis=info,mcp_server=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let Some(file) = &cli.config else {
        demo::create_keys()?;
        let demo = Demo::start().await?;
        return serve(demo.config()?, |config| print(&demo.instructions(config))).await;
    };
    let config = Config::load(file, env::vars_os())?;
    if cli.check {
        print(&format!("{} is valid", file.display()));
        return Ok(());
    }
    serve(config, |config| tracing::info!(resource = %config.resource(), listen = %config.listen(), "serving")).await
}

async fn serve(config: Config, announce: impl FnOnce(&Config)) -> Result<(), Failure> {
    let scopes = tools::scopes(config.required_scopes());
    let mcp = |context: &RouteContext| {
        let tools = context.provider().cloned().map_or_else(Tools::default, Tools::calling);
        // rmcp serves both wires on one path: 2025-11-25 with sessions, 2026-07-28 without.
        let transport = StreamableHttpServerConfig::default()
            .with_allowed_hosts(context.allowed_hosts())
            .with_json_response(true)
            .with_cancellation_token(context.cancellation());
        let mcp = StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(UserSessions::default()), transport);
        Router::new().route_service("/mcp", ToolScopesLayer::new(scopes).layer(mcp))
    };
    let server = Server::new(config).with_resource_name("Portcullis example");
    Ok(server.serve(mcp, announce).await?)
}

/// Prints to standard output. Ignores errors, because the reader may have closed the pipe.
fn print(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}
