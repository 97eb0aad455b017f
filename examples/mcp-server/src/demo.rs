//! The demo: a bridge, an identity provider inside of this process, and what to do with them.

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

/// Where the demo keeps what it remembers, so that clients are known after a restart.
const DATABASE: &str = "portcullis-demo.db";
const KEYS: &str = "portcullis-demo.keys";
/// The port of the identity provider, if it is free: its users are the same after a restart.
const PORT: u16 = 8001;

/// The identity provider of the demo, on loopback, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Demo {
    provider: IdentityProvider,
    running: RunningIdentityProvider,
}

/// The demo cannot keep what it must not lose.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {KEYS}: {0}; PORTCULLIS__STORE__URL=memory: does without files")]
pub(crate) struct DemoError(#[source] io::Error);

impl Demo {
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

    /// The configuration of the demo: nothing that could not be in a file. Variables change it as they change any other.
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

    /// What to do with a server that listens as `config` says.
    pub(crate) fn instructions(&self, config: &Config) -> String {
        let (url, origin) = (config.resource().as_str(), config.resource().origin());
        format!(
            r#"Portcullis demo: an MCP server whose tools know who is calling.

  MCP server          {url}
  login               by the bridge of this server, {origin}
  identity provider   {provider}, inside this process: users ada and bob, no passwords

Add it to an MCP client:

  claude mcp add --transport http portcullis-demo {url}
  code --add-mcp '{{"name":"portcullis-demo","type":"http","url":"{url}"}}'
  npx @modelcontextprotocol/inspector    (Streamable HTTP, {url})

What happens then: the client is refused, reads where to log in, registers itself, and opens your browser. There you say whether
that client may act for you, pick a user, and are back. The client has a token of this server; the provider's token
stays here, and is kept fresh. Restart the demo: the client is still known.

Tools: whoami; echo; upstream, which asks the provider who you are by your token there; and admin_echo, which needs the scope
mcp:admin: a client that knows how asks for it when it is refused, and ada may have it.

Without any client, what a refusal looks like, and where it leads:

  curl -si -X POST {url}
  curl -s {origin}/.well-known/oauth-authorization-server

It remembers in {DATABASE}, sealed with {KEYS}; delete both to begin anew. Stop with Ctrl-C."#,
            provider = self.running.url(),
        )
    }
}

/// Makes the keys that seal what the demo remembers, unless there are some, or nothing is kept.
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

/// 32 random bytes as a key ring writes them.
fn new_key() -> String {
    let key: [u8; 32] = rand::random();
    key.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
