//! The components that run on Node or Python; `just setup` installs them.

use std::{env, path::Path};

use tokio::process::Command;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the command for `file` of the folder `node`, run by the Node that is installed there.
pub(crate) fn script(file: &str) -> Command {
    let folder = Path::new(FOLDER).join("node");
    assert!(folder.join("node_modules").exists(), "the npm packages of the tests are missing: run `just setup`");
    let architecture = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    // Not by the link in `.bin`: older versions of npm make none for optional packages.
    let own = folder.join(format!("node_modules/node-{}-{architecture}/bin/node", env::consts::OS));
    let mut command = if own.exists() { Command::new(own) } else { Command::new("node") };
    command.arg(folder.join(file)).current_dir(folder);
    command
}

/// Returns the command for `file` of the folder `python`, run in the virtual environment `environment`.
pub(crate) fn python_script(environment: &str, file: &str) -> Command {
    let folder = Path::new(FOLDER).join("python");
    let python = folder.join(format!("environments/{environment}/bin/python"));
    assert!(python.exists(), "the Python packages {environment} of the tests are missing: run `just setup`");
    let mut command = Command::new(python);
    command.arg(folder.join(file)).current_dir(folder);
    command
}
