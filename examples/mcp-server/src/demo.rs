//! The demo: a bridge, an identity provider in the same process, and instructions for trying them.

use std::{
    env,
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    net::Ipv4Addr,
};

use portcullis_server::{Config, ConfigError};
use portcullis_testkit::{IdentityProvider, RunningIdentityProvider};
use tokio::net::TcpListener;

/// The database of the demo. It outlives the process, so that clients stay registered after a restart.
const DATABASE: &str = "portcullis-demo.db";
/// The keys that seal the database.
const KEYS: &str = "portcullis-demo.keys";
/// The preferred port of the identity provider. With the same port the issuer, and so each user, is the same after a restart.
const PORT: u16 = 8001;

/// The identity provider of the demo, on loopback; dropping the guard stops it.
#[derive(Debug)]
pub(crate) struct Demo {
    provider: IdentityProvider,
    running: RunningIdentityProvider,
}

/// An error of creating the keys of the demo.
#[derive(Debug, thiserror::Error)]
#[error("cannot create {KEYS}: {0}; with PORTCULLIS__STORE__URL=memory: the demo needs no files")]
pub(crate) struct DemoError(#[source] io::Error);

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
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        };
        let running = provider.serve_on(listener)?;
        Ok(Self { provider, running })
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

[[bridge.entitlements]]
scope = "mcp:admin"
subjects = ["ada"]
"#
        );
        let config = Config::parse("the demo's configuration", &text, env::vars_os())?;
        let callback = format!("{}/callback", config.resource().origin());
        self.provider.set_redirect_uris(IdentityProvider::CLIENT_ID, &[&callback]);
        Ok(config)
    }

    /// Returns the instructions for trying the server that `config` describes.
    pub(crate) fn instructions(&self, config: &Config) -> String {
        let (url, origin) = (config.resource().as_str(), config.resource().origin());
        format!(
            r#"Portcullis demo: an MCP server whose tools know the user.

  MCP server          {url}
  login               by the bridge of this server, {origin}
  identity provider   {provider}, inside this process: users ada and bob, no passwords

Add it to an MCP client:

  claude mcp add --transport http portcullis-demo {url}
  code --add-mcp '{{"name":"portcullis-demo","type":"http","url":"{url}"}}'
  npx @modelcontextprotocol/inspector    (Streamable HTTP, {url})

What happens then: the server rejects the client's first request with a challenge (401). The client fetches the metadata that
the challenge names, registers, and opens your browser. You consent to the client and select a user. The client receives tokens
of this server. The provider's tokens stay in this server, which refreshes them. After a restart the client is still registered.

Tools: whoami; echo; upstream, which fetches your profile from the provider with your upstream token; and admin_echo, which needs
the scope mcp:admin. A client that supports step-up authorization requests that scope after the 403; only ada is granted it.

Without a client, the challenge, and the metadata that it leads to:

  curl -si -X POST {url}
  curl -s {origin}/.well-known/oauth-authorization-server

The state is in {DATABASE}, sealed with the keys in {KEYS}; delete both files to reset it. Stop with Ctrl-C."#,
            provider = self.running.url(),
        )
    }
}

/// Creates the file of keys, unless it exists or the store is in memory.
pub(crate) fn create_keys() -> Result<(), DemoError> {
    let is_in_memory = env::var("PORTCULLIS__STORE__URL").is_ok_and(|url| url.starts_with("memory:"));
    if is_in_memory {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(KEYS) {
        Ok(mut file) => file.write_all(new_key().as_bytes()).map_err(DemoError),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(DemoError(error)),
    }
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
