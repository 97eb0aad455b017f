//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// An MCP server behind Portcullis.
///
/// Without arguments: a demo, with an identity provider inside. Every key of the configuration is also an environment
/// variable: PORTCULLIS__LISTEN, PORTCULLIS__CACHE__TTL, PORTCULLIS__RESOURCE_SERVER__ISSUERS__0__ISSUER.
#[derive(Parser, Debug)]
#[command(name = "mcp-server", version)]
pub(crate) struct Cli {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Validate the configuration and exit: 0 if it is good, 2 if not.
    #[arg(long, requires = "config")]
    pub(crate) check: bool,
    /// Print the JSON Schema of the configuration file and exit.
    #[arg(long, conflicts_with_all = ["config", "check"])]
    pub(crate) print_schema: bool,
}
