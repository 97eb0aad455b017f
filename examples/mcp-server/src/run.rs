//! What the command line asks for, from start to end.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use metrics_exporter_prometheus::BuildError;
use portcullis::egress::EgressConfigError;

use crate::{
    bridge::OpenStoreError,
    cli::Cli,
    config::{self, ConfigError},
    demo::{self, Demo, DemoError},
    serve::serve,
    server::BindError,
    telemetry,
};

/// Why the program ends before its time: one line on stderr.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum Failure {
    Config(#[from] ConfigError),
    Verifiers(#[from] portcullis::verify::ConfigError),
    Egress(#[from] EgressConfigError),
    Bridge(#[from] portcullis::BuildError),
    Store(#[from] OpenStoreError),
    Demo(#[from] DemoError),
    Bind(#[from] BindError),
    Metrics(#[from] BuildError),
    Io(#[from] io::Error),
}

impl Failure {
    /// 2 if the configuration is to blame, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Verifiers(_) | Self::Store(OpenStoreError::WrongKeys { .. }) => ExitCode::from(2),
            Self::Egress(_)
            | Self::Bridge(_)
            | Self::Store(_)
            | Self::Demo(_)
            | Self::Bind(_)
            | Self::Metrics(_)
            | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}

pub(crate) async fn run(cli: &Cli) -> Result<(), Failure> {
    if cli.print_schema {
        say(&format!("{:#}", config::json_schema()));
        return Ok(());
    }
    telemetry::log();
    let Some(file) = &cli.config else {
        demo::make_keys()?;
        let demo = Demo::start().await?;
        let config = demo.config()?;
        return serve(&config, |config| say(&demo.instructions(config))).await;
    };
    let config = config::load(file, std::env::vars_os())?;
    if cli.check {
        say(&format!("{} is valid", file.display()));
        return Ok(());
    }
    serve(&config, |config| tracing::info!(resource = %config.resource, listen = %config.listen, "serving")).await
}

/// Prints. Whoever has closed standard output does not want to read it.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}
