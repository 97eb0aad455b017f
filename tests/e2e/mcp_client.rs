//! The example `mcp-client` at MCP servers that are not ours, and at ours: it logs in, lists the tools and calls one 20 times at once, with
//! one token request for all of it; and once more with the stored login, whose token has expired.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{process::Command, time::sleep};

use crate::{
    bridge::user::{accompany, browser},
    harness::{
        Demo, Format, Process, Provider, ReverseProxy, binary, free_port, python_script, script, until_listening,
    },
};

const CALLS: usize = 20;

/// A user with a command line, and with a folder for its store.
struct User {
    url: String,
    /// With what the URLs begin that the user opens.
    pages: String,
    folder: PathBuf,
    options: Vec<String>,
}

impl User {
    fn new(url: &str, pages: &str, options: &[&str]) -> Self {
        let number = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
        let folder = env::temp_dir().join(format!("portcullis-mcp-client-{number:x}"));
        fs::create_dir(&folder).expect("a folder");
        let key = folder.join("key");
        fs::write(&key, BASE64_STANDARD.encode(rand::random::<[u8; 32]>())).expect("a key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("permissions");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self { url: url.to_owned(), pages: pages.to_owned(), folder, options }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (name, rest) = arguments.split_first().expect("a command");
        let mut command = binary("mcp-client");
        command.args([name, &*self.url]).args(rest).args(&self.options);
        command.arg("--store").arg(self.folder.join("store")).arg("--key").arg(self.folder.join("key"));
        command
    }

    /// Runs a command, and logs in where it says so. Returns its lines, and how many pages it had opened.
    async fn run(&self, arguments: &[&str]) -> (Vec<String>, usize) {
        let lines =
            accompany(Process::start(&mut self.command(arguments)), ("", &self.pages), &mut browser(), "ada").await;
        let opened = lines.iter().filter(|line| line.starts_with(&self.pages)).count();
        (lines, opened)
    }

    /// Lists the tools, calls one of them, which says `expected`, and returns after how many refreshes since the login.
    async fn lists_and_calls(&self, tool: &str, arguments: &str, expected: &str) -> usize {
        let (tools, opened) = self.run(&["tools"]).await;
        assert!(tools.iter().any(|line| line.starts_with(&format!("{tool}\t"))), "{tools:#?}");
        assert_eq!(opened, 1, "{tools:#?}");
        self.calls(tool, arguments, expected).await
    }

    /// Calls a tool with the stored login.
    async fn calls(&self, tool: &str, arguments: &str, expected: &str) -> usize {
        let (lines, opened) = self.run(&["call", tool, arguments, "--times", &CALLS.to_string()]).await;
        assert_eq!(opened, 0, "the login is stored: {lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains(expected)).count(), CALLS, "{lines:#?}");
        let prefix = format!("calls: {CALLS}, refreshes since the login: ");
        let refreshes = lines.iter().find_map(|line| line.strip_prefix(&prefix)).expect("a summary");
        refreshes.parse().expect("a number")
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Access tokens of the demo live two seconds.
const EXPIRED: Duration = Duration::from_millis(2200);

#[tokio::test]
async fn mcp_client_at_the_demo() {
    let demo = Demo::start().await;
    let user = User::new(&format!("{}/mcp", demo.origin), &demo.origin, &[]);
    let before = user.lists_and_calls("whoami", "{}", "ada").await;
    sleep(EXPIRED).await;
    assert_eq!(user.calls("whoami", "{}", "ada").await, before + 1, "one refresh for all calls");
}

#[tokio::test]
async fn mcp_client_at_a_server_of_the_python_sdk_1() {
    python("mcp-1").await;
}

#[tokio::test]
async fn mcp_client_at_a_server_of_the_python_sdk_2() {
    python("mcp-2").await;
}

async fn python(environment: &str) {
    let port = free_port();
    let mut command = python_script(environment, "server.py");
    let server = Process::start(command.arg(port.to_string()));
    let url = server.line("READY ").await;
    until_listening(port).await;
    let user = User::new(&url, &format!("http://127.0.0.1:{port}/authorize"), &[]);
    let before = user.lists_and_calls("greet", r#"{"name": "Ada"}"#, "Hello Ada").await;
    sleep(EXPIRED).await;
    assert_eq!(user.calls("greet", r#"{"name": "Ada"}"#, "Hello Ada").await, before + 1);
    let lines = server.lines();
    let requests = |grant: &str| lines.iter().filter(|line| **line == format!("TOKEN {grant}")).count();
    assert_eq!((requests("authorization_code"), requests("refresh_token")), (1, before + 1), "{lines:#?}");
}

/// Its authorization server issues no refresh token: the tokens live an hour.
#[tokio::test]
async fn mcp_client_at_the_demo_of_the_typescript_sdk() {
    let (port, auth_port) = (free_port(), free_port());
    let mut command = script("node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server/simpleStreamableHttp.js");
    command.args(["--oauth", "--oauth-strict"]);
    command.env("MCP_PORT", port.to_string()).env("MCP_AUTH_PORT", auth_port.to_string());
    let _server = Process::start(&mut command);
    until_listening(port).await;
    until_listening(auth_port).await;
    let pages = format!("http://localhost:{auth_port}/authorize");
    let user = User::new(&format!("http://localhost:{port}/mcp"), &pages, &[]);
    assert_eq!(user.lists_and_calls("greet", r#"{"name": "Ada"}"#, "Hello, Ada").await, 0);
}

#[tokio::test]
async fn mcp_client_at_server_everything_behind_the_reverse_proxy() {
    let provider = Provider::start(Format::Jwt).await;
    let port = free_port();
    let mut command = script("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let _server = Process::start(command.arg("streamableHttp").env("PORT", port.to_string()));
    until_listening(port).await;
    let proxy = ReverseProxy::start(&format!("http://127.0.0.1:{port}"), &provider.issuer).await;
    let client = ["--issuer", &*provider.issuer, "--client-id", "native", "--scope", "mcp:read"];
    let user = User::new(&proxy.url, &provider.issuer, &client);
    assert_eq!(user.lists_and_calls("echo", r#"{"message": "hello"}"#, "Echo: hello").await, 0);
    assert_eq!(provider.count("POST /token ").await, 1);
}
