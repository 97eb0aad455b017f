//! The examples of this workspace, as processes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::Command,
    time::{Instant, sleep},
};

use super::{Process, ports::free_port};

const PATIENCE: Duration = Duration::from_secs(30);

/// A binary of this workspace, where the tests were built.
pub(crate) fn binary(name: &str) -> Command {
    let tests = env::current_exe().expect("a path");
    let path = tests.parent().and_then(Path::parent).expect("a target folder").join(name);
    assert!(path.exists(), "{name} is not built: run `cargo build --workspace --all-targets`");
    let mut command = Command::new(path);
    for (name, _) in env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("PORTCULLIS__") {
            command.env_remove(name);
        }
    }
    command
}

/// `mcp-server`, in resource-server mode.
pub(crate) struct McpServer {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) url: String,
    pub(crate) admin: String,
}

impl McpServer {
    /// A server for the tokens of one issuer, that is ready; `settings` are more lines of its entry.
    pub(crate) async fn start(issuer: &str, settings: &str) -> Self {
        let server = Self::start_with(issuer, settings, "", "").await;
        server.until_ready(200).await;
        server
    }

    /// A server behind a proxy; `keys` begin the file.
    pub(crate) async fn start_behind(issuer: &str, keys: &str) -> Self {
        Self::start_file(keys, issuer, "", "", "").await
    }

    /// A server that is up, though maybe not ready; `more` are further tables, `log` says what is logged.
    pub(crate) async fn start_with(issuer: &str, settings: &str, more: &str, log: &str) -> Self {
        Self::start_file("", issuer, settings, more, log).await
    }

    async fn start_file(keys: &str, issuer: &str, settings: &str, more: &str, log: &str) -> Self {
        let (port, admin_port) = (free_port(), free_port());
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:{admin_port}\"\n{keys}\n\
             [[resource_server.issuers]]\nissuer = \"{issuer}\"\n{settings}\n\
             [egress]\nallow_loopback = true\ntimeout = \"5s\"\n{more}\n"
        );
        let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mcp-server-{port}.toml"));
        fs::write(&config, text).expect("a temporary file");
        let mut command = binary("mcp-server");
        command.arg("--config").arg(config);
        if !log.is_empty() {
            command.env("RUST_LOG", log);
        }
        let process = Process::start(&mut command);
        let url = format!("http://127.0.0.1:{port}/mcp");
        let server = Self { process, port, url, admin: format!("http://127.0.0.1:{admin_port}") };
        server.until("/healthz", 200).await;
        server
    }

    /// The URL of `path`, which is not below the MCP endpoint.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches("/mcp"))
    }

    pub(crate) async fn metrics(&self) -> String {
        reqwest::get(format!("{}/metrics", self.admin)).await.expect("an answer").text().await.expect("text")
    }

    pub(crate) async fn until_ready(&self, status: u16) {
        self.until("/readyz", status).await;
    }

    async fn until(&self, path: &str, status: u16) {
        let (url, give_up) = (format!("{}{path}", self.admin), Instant::now() + PATIENCE);
        while !reqwest::get(&url).await.is_ok_and(|response| response.status() == status) {
            assert!(Instant::now() < give_up, "{path} never says {status}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// `mcp-server` as a newcomer starts it: without a configuration, with an identity provider of its own.
pub(crate) struct Demo {
    pub(crate) origin: String,
    folder: PathBuf,
    _process: Process,
}

impl Demo {
    /// Its access tokens live two seconds.
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let folder = env::temp_dir().join(format!("portcullis-demo-{port}"));
        fs::create_dir_all(&folder).expect("a folder");
        let mut command = binary("mcp-server");
        command.current_dir(&folder).env("PORTCULLIS__LISTEN", format!("127.0.0.1:{port}"));
        let process = Process::start(command.env("PORTCULLIS__BRIDGE__ACCESS_TOKEN_TTL", "2s"));
        until_listening(port).await;
        Self { origin: format!("http://127.0.0.1:{port}"), folder, _process: process }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// `reverse-proxy`, in front of a server that is not ours.
pub(crate) struct ReverseProxy {
    pub(crate) port: u16,
    pub(crate) url: String,
    _process: Process,
}

impl ReverseProxy {
    pub(crate) async fn start(upstream: &str, issuer: &str) -> Self {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}/mcp");
        let process = Process::start(binary("reverse-proxy").args([&*url, upstream, issuer]));
        until_listening(port).await;
        Self { port, url, _process: process }
    }
}

pub(crate) async fn until_listening(port: u16) {
    let give_up = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < give_up, "nothing listens at {port}");
        sleep(Duration::from_millis(20)).await;
    }
}
