//! An MCP server behind Portcullis, whose tools know the user.
//!
//! The server itself is the crate `portcullis-server`; this program adds the tools, an rmcp transport, and a demo.

mod demo;
mod sessions;
mod tools;

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use axum::Router;
use clap::Parser;
use portcullis::{bridge::SessionSummary, layer::scope::ToolScopesLayer, store::RekeyReport, types::GrantId};
use portcullis_server::{Config, ConfigError, Finding, Maintenance, RouteContext, ServeError, Server, check_online};
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
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Validate the configuration and exit: 0 if it is valid, 2 if not.
    #[arg(long, requires = "config")]
    check: bool,
    /// With --check: also compare the configuration with the servers that it names. Exit: 0 also with warnings, 2 with errors.
    #[arg(long, requires = "check")]
    online: bool,
    /// Print the JSON Schema of the configuration file and exit.
    #[arg(long, conflicts_with_all = ["config", "check"])]
    print_schema: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The reason why the program ends: one line on stderr.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Usage(&'static str),
    #[error("{0} cannot work: see the errors above")]
    Online(String),
}

/// A command about the store of the bridge that --config describes. The server may run meanwhile.
#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Seal every row with the first key of `store.encryption_keys_file`.
    Rekey,
    /// Remove the rows that no key of `store.encryption_keys_file` opens, because their key is lost. It cannot be undone.
    ForgetUnreadable,
    /// List or end the sessions of users.
    Sessions {
        #[command(subcommand)]
        command: SessionCommand,
    },
}

#[derive(clap::Subcommand, Debug)]
enum SessionCommand {
    /// Print the sessions, one a line: id, user, client, scopes, seconds since 1970 of the login and of the end.
    List,
    /// End sessions: their tokens, and their grants at the provider.
    End {
        /// The ids of the sessions.
        #[arg(required_unless_present = "subject")]
        ids: Vec<GrantId>,
        /// End all sessions of the user with this subject.
        #[arg(long, conflicts_with = "ids")]
        subject: Option<String>,
        /// The issuer of that user, if several issuers have users.
        #[arg(long, requires = "subject")]
        issuer: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mcp-server: {failure}");
            match failure {
                Failure::Config(_) | Failure::Usage(_) | Failure::Online(_) => ExitCode::from(2),
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
        if cli.command.is_some() {
            return Err(Failure::Usage("commands need --config FILE, the configuration of the server"));
        }
        demo::create_keys()?;
        let demo = Demo::start().await?;
        let serving = serve(demo.config()?, |config| print(&demo.instructions(config)));
        let served = tokio::select! {
            served = serving => served,
            kept = demo.keep() => kept.map_err(Failure::from),
        };
        // The last refreshes of the shutdown changed the state too.
        if served.is_ok() {
            demo.save(&mut String::new())?;
        }
        return served;
    };
    let config = Config::load(file, env::vars_os())?;
    if cli.check {
        return check(&config, file, cli.online).await;
    }
    if let Some(command) = &cli.command {
        let store = Maintenance::open(&config).await?;
        let done = maintain(&store, command).await;
        store.close().await?;
        return done;
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

/// Prints what of the configuration does not agree with the servers that it names.
async fn check(config: &Config, file: &Path, is_online: bool) -> Result<(), Failure> {
    let findings = if is_online { check_online(config).await } else { Vec::new() };
    for finding in &findings {
        print(&finding.to_string());
    }
    if findings.iter().any(Finding::is_error) {
        return Err(Failure::Online(file.display().to_string()));
    }
    print(&format!("{} is valid", file.display()));
    Ok(())
}

async fn maintain(store: &Maintenance, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Rekey => {
            let RekeyReport { resealed, current, unreadable, .. } = store.rekey().await?;
            print(&format!(
                "resealed {resealed}, already sealed with the first key {current}, unreadable {unreadable}"
            ));
        }
        Command::ForgetUnreadable => print(&format!("forgot {} rows", store.forget_unreadable().await?)),
        Command::Sessions { command: SessionCommand::List } => {
            each_session(store, async |session| {
                let SessionSummary { id, issuer, subject, client_id, scopes, began_at, ends_at, .. } = session;
                let (began, ends) = (began_at.as_secs(), ends_at.as_secs());
                // The issuer chose this text: control characters in it would be commands to the terminal.
                let subject = subject.escape_debug();
                print(&format!("{id}\t{issuer}#{subject}\t{client_id}\t{scopes}\t{began}\t{ends}"));
                Ok(())
            })
            .await?;
        }
        Command::Sessions { command: SessionCommand::End { ids, subject: None, .. } } => {
            for id in ids {
                let outcome = if store.end_session(*id).await? { "ended" } else { "no such session" };
                print(&format!("{id}\t{outcome}"));
            }
        }
        Command::Sessions { command: SessionCommand::End { subject: Some(subject), issuer, .. } } => {
            each_session(store, async |session| {
                let is_theirs = *session.subject == **subject
                    && issuer.as_deref().is_none_or(|issuer| session.issuer.as_str() == issuer);
                if is_theirs && store.end_session(session.id).await? {
                    print(&format!("{}\tended", session.id));
                }
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

/// Calls `apply` with every session. Prints the number of rows that do not open to standard error.
async fn each_session(
    store: &Maintenance,
    mut apply: impl AsyncFnMut(SessionSummary) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut after, mut all_unreadable) = (None, 0);
    loop {
        let (sessions, unreadable) = store.sessions(after).await?;
        all_unreadable += unreadable;
        let Some(last) = sessions.last() else { break };
        after = Some(last.id);
        for session in sessions {
            apply(session).await?;
        }
    }
    if all_unreadable > 0 {
        eprintln!(
            "mcp-server: {all_unreadable} sessions do not open: a key is missing in `store.encryption_keys_file`"
        );
    }
    Ok(())
}

/// Prints to standard output. Ignores errors, because the reader may have closed the pipe.
fn print(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}
