//! The components that run on Node; `just setup` installs them.

use std::{
    env,
    path::{Path, PathBuf},
};

use tokio::process::Command;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}

/// `file` of the folder `node`, run by the Node that is installed there.
pub(crate) fn script(file: &str) -> Command {
    let folder = folder();
    assert!(folder.join("node_modules").exists(), "the components of the stories are missing: run `just setup`");
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
