//! An MCP server behind Portcullis: the first program to run, and the one to copy from.

mod admin;
mod bridge;
mod cli;
mod config;
mod cors;
mod demo;
mod gate;
mod late;
mod origin;
mod readiness;
mod run;
mod serve;
mod server;
mod sessions;
mod shutdown;
mod telemetry;
mod tools;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match run::run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mcp-server: {failure}");
            failure.exit_code()
        }
    }
}
