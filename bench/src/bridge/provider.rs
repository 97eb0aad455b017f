//! The provider, in a separate process, so that its memory does not count as the bridge's.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
};

use portcullis_testkit::IdentityProvider;

/// The argument that starts this program as a provider.
pub(crate) const ROLE: &str = "--provider";

/// The provider's process; dropping the guard ends it.
pub(crate) struct Provider {
    child: Child,
    pub(crate) url: String,
}

impl Provider {
    pub(crate) fn start() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program).arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut url)?;
        Ok(Self { child, url: url.trim().to_owned() })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the provider until standard input ends.
pub(crate) fn serve() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _running = runtime.block_on(async {
        let provider = IdentityProvider::new();
        let running = provider.serve().await?;
        println!("{}", running.url());
        io::stdout().flush()?;
        tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok::<_, Box<dyn Error>>(running)
    })?;
    Ok(())
}
