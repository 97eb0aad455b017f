//! An MCP server behind Portcullis: the first program to run, and the one to copy from.

mod admin;
mod cli;
mod config;
mod cors;
mod gate;
mod origin;
mod server;
mod shutdown;
mod telemetry;
mod tools;

use std::process::ExitCode;

use clap::Parser;

use crate::{cli::Cli, config::Config};

/// Exit codes: 0 stopped cleanly, 1 failed at run time, 2 bad configuration.
const BAD_CONFIGURATION: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.print_schema {
        println!("{:#}", config::json_schema());
        return ExitCode::SUCCESS;
    }
    telemetry::log();
    let Some(file) = &cli.config else { return ExitCode::FAILURE };
    match config::load(file, std::env::vars_os()) {
        Err(error) => {
            eprintln!("mcp-server: {error}");
            ExitCode::from(BAD_CONFIGURATION)
        }
        Ok(config) if cli.check => {
            println!("{} is valid", file.display());
            ExitCode::SUCCESS
        }
        Ok(config) => run(config).await,
    }
}

async fn run(config: Config) -> ExitCode {
    ExitCode::SUCCESS
}
