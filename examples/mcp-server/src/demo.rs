//! The demo: an identity provider inside of this process, a token of it, and what to do with them.

use std::{io, time::Duration};

use portcullis_testkit::{IdentityProvider, KeyAlgorithm, RunningIdentityProvider};

use crate::config::{self, Config, ConfigError};

/// The identity provider of the demo, on loopback, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Demo {
    provider: IdentityProvider,
    running: RunningIdentityProvider,
}

impl Demo {
    pub(crate) async fn start() -> io::Result<Self> {
        let provider = IdentityProvider::new();
        // Its signatures are short, and so are the tokens that are to be pasted.
        provider.sign_with(&provider.add_key(KeyAlgorithm::Es256));
        let profile = [("name", "Ada Lovelace"), ("email", "ada@example.com")];
        provider.set_user("ada", profile.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect());
        let running = provider.serve().await?;
        Ok(Self { provider, running })
    }

    /// The configuration of the demo: nothing that could not be in a file. Variables change it as they change any other.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let text = format!(
            "resource_server.issuers = [{{ issuer = \"{}\", enrich = true }}]\negress.allow_loopback = true\n",
            self.running.url()
        );
        config::load_text("the demo's configuration", &text, std::env::vars_os())
    }

    /// What to do with a server that listens as `config` says.
    pub(crate) fn instructions(&self, config: &Config) -> String {
        let url = config.resource.as_str();
        let token = self
            .provider
            .token("ada")
            .with_audience(url)
            .with_scope("mcp:read")
            .with_lifetime(Duration::from_secs(24 * 3600))
            .jwt();
        format!(
            "\
Portcullis demo: an MCP server whose tools know who is calling.

  MCP server          {url}
  identity provider   {provider}, inside this process, for this demo only

A token for the user ada, good for a day:

  {token}

Call the tool whoami with it:

  {with_token}

Without it, the answer is 401, and a challenge that says where to log in:

  curl -si -X POST {url}

MCP Inspector: run npx @modelcontextprotocol/inspector, choose Streamable HTTP and {url},
and add the header Authorization with the value: Bearer, a space, and the token.

Tools: whoami, echo, upstream, and admin_echo, which ada may not call: her token lacks the scope mcp:admin.
Stop with Ctrl-C.",
            provider = self.running.url(),
            with_token = curl(url, &token),
        )
    }
}

/// One line for a shell that calls `whoami`: the sessionless wire needs no handshake before.
fn curl(url: &str, token: &str) -> String {
    let meta =
        r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"whoami","arguments":{{}},"_meta":{meta}}}}}"#
    );
    let headers = [
        &*format!("Authorization: Bearer {token}"),
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        "Mcp-Name: whoami",
    ]
    .map(|header| format!("-H '{header}'"))
    .join(" ");
    format!("curl -s {url} {headers} -d '{message}'")
}
