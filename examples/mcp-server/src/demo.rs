//! The demo: a bridge, an identity provider in the same process, and instructions for trying them.

use std::{
    env,
    fmt::Write as _,
    fs,
    fs::OpenOptions,
    io::{self, Write as _},
    net::Ipv4Addr,
    time::Duration,
};

use portcullis_server::{Config, ConfigError};
use portcullis_testkit::{IdentityProvider, RunningIdentityProvider};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, time::sleep};

/// The database of the demo. It outlives the process, so that clients stay registered after a restart.
const DATABASE: &str = "portcullis-demo.db";
/// The keys that seal the database.
const KEYS: &str = "portcullis-demo.keys";
/// The state of the identity provider. It outlives the process too, so that the tokens in the database remain valid.
const PROVIDER: &str = "portcullis-demo.provider.json";
/// How often the state of the identity provider is written if it has changed.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// The preferred port of the identity provider. With the same port the issuer, and so each user, is the same after a restart.
const PORT: u16 = 8001;

/// The identity provider of the demo, on loopback; dropping the guard stops it.
#[derive(Debug)]
pub(crate) struct Demo {
    provider: IdentityProvider,
    running: RunningIdentityProvider,
}

/// The file [`PROVIDER`].
#[derive(Serialize, Deserialize)]
struct Saved {
    /// The port of the issuer.
    port: u16,
    snapshot: String,
}

/// An error of a file of the demo.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {file}: {cause}; with PORTCULLIS__STORE__URL=memory: the demo needs no files")]
pub(crate) struct DemoError {
    file: &'static str,
    #[source]
    cause: io::Error,
}

impl Demo {
    /// Starts the identity provider, with two users.
    pub(crate) async fn start() -> io::Result<Self> {
        let provider = IdentityProvider::new();
        for (subject, name, email) in
            [("ada", "Ada Lovelace", "ada@example.com"), ("bob", "Bob Builder", "bob@example.com")]
        {
            let profile = [("name", name), ("email", email)];
            provider
                .set_user(subject, profile.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect());
        }
        let saved = if is_in_memory() { None } else { saved() };
        let port = saved.as_ref().map_or(PORT, |saved| saved.port);
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        };
        // The users and tokens of another issuer would be of no use.
        if let Some(saved) = saved.filter(|_| listener.local_addr().is_ok_and(|address| address.port() == port))
            && let Err(error) = provider.restore(&saved.snapshot)
        {
            tracing::warn!(%error, file = PROVIDER, "the state of the demo's identity provider cannot be read: users log in again");
        }
        let running = provider.serve_on(listener)?;
        Ok(Self { provider, running })
    }

    /// Writes the state of the identity provider whenever it has changed. Does not return, unless a file cannot be written.
    pub(crate) async fn keep(&self) -> Result<(), DemoError> {
        let mut last = String::new();
        while !is_in_memory() {
            sleep(SAVE_EVERY).await;
            self.save(&mut last)?;
        }
        std::future::pending().await
    }

    /// Writes the state of the identity provider, unless it is the `last` one.
    pub(crate) fn save(&self, last: &mut String) -> Result<(), DemoError> {
        let snapshot = self.provider.snapshot();
        if is_in_memory() || snapshot == *last {
            return Ok(());
        }
        last.clone_from(&snapshot);
        let port = self.running.url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(PORT);
        let text = serde_json::to_string(&Saved { port, snapshot }).unwrap_or_default();
        // A file of its own that replaces the old one: a crash leaves one of them whole.
        let new = format!("{PROVIDER}.new");
        let written = drop_file(&new)
            .and_then(|()| create_closed(&new)?.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&new, PROVIDER));
        written.map_err(|cause| DemoError { file: PROVIDER, cause })
    }

    /// Returns the configuration of the demo. Environment variables override it as they override a file.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let (issuer, client_id) = (self.running.url(), IdentityProvider::CLIENT_ID);
        let client_secret = IdentityProvider::CLIENT_SECRET;
        let text = format!(
            r#"mode = "bridge"
required_scopes = ["mcp:use"]
egress.allow_loopback = true

[store]
url = "sqlite://{DATABASE}"
encryption_keys_file = "{KEYS}"

[bridge]
provider = "oidc"
issuer = "{issuer}"
client_id = "{client_id}"
client_secret = "{client_secret}"
scopes = ["openid", "profile", "email", "offline_access"]
# Clients register, so that the demo needs no Internet access for the documents of clients.
documents.enabled = false

[[bridge.entitlements]]
scope = "mcp:admin"
subjects = ["ada"]
"#
        );
        let config = Config::parse("the demo's configuration", &text, env::vars_os())?;
        let callback = format!("{}/callback", config.public_url());
        self.provider.set_redirect_uris(IdentityProvider::CLIENT_ID, &[&callback]);
        Ok(config)
    }

    /// Returns the instructions for trying the server that `config` describes.
    pub(crate) fn instructions(&self, config: &Config) -> String {
        let (url, origin) = (config.resource().as_str(), config.public_url());
        format!(
            r#"Portcullis demo: an MCP server whose tools know the user.

  MCP server          {url}
  login               by the bridge of this server, {origin}
  identity provider   {provider}, inside this process: users ada and bob, no passwords

Add it to an MCP client, and log in:

  Claude Code   claude mcp add --transport http portcullis-demo {url}
                then in claude: /mcp, portcullis-demo, Authenticate
  Codex         codex mcp add portcullis-demo --url {url}
                codex mcp login portcullis-demo
  VS Code       code --add-mcp '{{"name":"portcullis-demo","type":"http","url":"{url}"}}'
                then in VS Code: MCP: List Servers, portcullis-demo, Start Server
  Cursor        in ~/.cursor/mcp.json: {{"mcpServers":{{"portcullis-demo":{{"url":"{url}"}}}}}}
                then in Cursor: Settings, MCP, Connect; or: agent mcp login portcullis-demo
  OpenCode      in opencode.json: {{"mcp":{{"portcullis-demo":{{"type":"remote","url":"{url}"}}}}}}
                opencode mcp auth portcullis-demo
  Inspector     npx @modelcontextprotocol/inspector --server-url {url} --transport http
                (Node 22.19 or newer)

What happens then: the server rejects the client's first request with a challenge (401). The client fetches the metadata that
the challenge names, registers, and opens your browser. You consent to the client and select a user. The client receives tokens
of this server. The provider's tokens stay in this server, which refreshes them. After a restart the client is still registered and logged in.

Tools: whoami; echo; upstream, which fetches your profile from the provider with your upstream token; and admin_echo, which needs
the scope mcp:admin. A client that supports step-up authorization requests that scope after the 403; only ada is granted it.

Without a client, the challenge, and the metadata that it leads to:

  curl -si -X POST {url}
  curl -s {origin}/.well-known/oauth-authorization-server

The state is in {DATABASE}, sealed with the keys in {KEYS}, and in {PROVIDER}; delete these
files to reset it. Stop with Ctrl-C."#,
            provider = self.running.url(),
        )
    }
}

/// Creates the file of keys, unless it exists or the store is in memory.
pub(crate) fn create_keys() -> Result<(), DemoError> {
    if is_in_memory() {
        return Ok(());
    }
    let created = match create_closed(KEYS) {
        Ok(mut file) => file.write_all(new_key().as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    created.map_err(|cause| DemoError { file: KEYS, cause })
}

fn is_in_memory() -> bool {
    env::var("PORTCULLIS__STORE__URL").is_ok_and(|url| url.starts_with("memory:"))
}

/// Creates a file that other users cannot read.
fn create_closed(path: &str) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn drop_file(path: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads the state of an earlier process, if there is one.
fn saved() -> Option<Saved> {
    serde_json::from_str(&fs::read_to_string(PROVIDER).ok()?).ok()
}

/// Returns a random key of 32 bytes, in hexadecimal.
fn new_key() -> String {
    let key: [u8; 32] = rand::random();
    key.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
