//! What the command line asks for, from start to end.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use metrics_exporter_prometheus::BuildError;
use portcullis::egress::EgressConfigError;

use crate::{
    cli::Cli,
    config::{self, Config, ConfigError},
    demo::Demo,
    gate,
    server::{self, BindError, Listeners},
    shutdown::Shutdown,
    telemetry,
};

/// Why the program ends before its time: one line on stderr.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum Failure {
    Config(#[from] ConfigError),
    Verifiers(#[from] portcullis::verify::ConfigError),
    Egress(#[from] EgressConfigError),
    Bind(#[from] BindError),
    Metrics(#[from] BuildError),
    Io(#[from] io::Error),
}

impl Failure {
    /// 2 if the configuration is to blame, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Verifiers(_) => ExitCode::from(2),
            Self::Egress(_) | Self::Bind(_) | Self::Metrics(_) | Self::Io(_) => ExitCode::FAILURE,
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

/// Serves as `config` says; `announce` is called when connections are accepted.
async fn serve(config: &Config, announce: impl FnOnce(&Config)) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signal()?;
    // Before anything that counts is made.
    let metrics = telemetry::metrics()?;
    let (auth, readiness) = gate::build(config)?;
    let listeners = Listeners::bind(config).await?;
    // Fetched before the first user comes; what fails is logged, and tried again when somebody needs it.
    tokio::spawn({
        let readiness = readiness.clone();
        async move { drop(readiness.waiting().await) }
    });
    announce(config);
    Ok(server::serve(listeners, &config.resource, auth, readiness, metrics, shutdown).await?)
}
