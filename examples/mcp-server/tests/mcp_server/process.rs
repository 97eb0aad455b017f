//! [`Running`]: the program as a child process, and the files that tests give it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use reqwest::{RequestBuilder, Response, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Creates a temporary file with `text`.
pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("temporary file");
    path
}

/// Creates a temporary file with mode 0600.
pub(crate) fn closed_file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    write_closed(&path, text);
    path
}

fn write_closed(path: &Path, text: &str) {
    // An earlier run may have left the file without write permission.
    drop(fs::remove_file(path));
    fs::write(path, text).expect("temporary file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("closed");
}

/// Returns a command for the program, without the variables of the test environment that would configure it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-server"));
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("PORTCULLIS__") {
            command.env_remove(name);
        }
    }
    command
}

/// Returns a port that is free at the time of the call.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A running server; dropping the guard kills it.
pub(crate) struct Running {
    child: Child,
    port: u16,
    admin_port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

/// Collects the lines of `stderr`, and repeats them, so that they are shown if the test fails.
fn collect(stderr: ChildStderr) -> Arc<Mutex<Vec<String>>> {
    let log = Arc::<Mutex<Vec<String>>>::default();
    let lines = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("{line}");
            lines.lock().expect("not poisoned").push(line);
        }
    });
    log
}

impl Running {
    /// Starts the server for the tokens of `issuer`, with further `keys` of the issuer, and waits until it is ready.
    pub(crate) async fn start(issuer: &str, keys: &str) -> Self {
        let running = Self::spawn(issuer, keys, "");
        running.wait_for("/readyz", 200).await;
        running
    }

    /// Starts the server; `keys` are further keys of the issuer, `more` is the beginning of the file.
    pub(crate) fn spawn(issuer: &str, keys: &str, more: &str) -> Self {
        Self::serve(free_port(), &format!("{more}\n[[resource_server.issuers]]\nissuer = \"{issuer}\"\n{keys}\n"))
    }

    /// Starts the server with a bridge, and waits until it is ready; `keys` are the keys of the section `bridge`.
    pub(crate) async fn bridge(keys: &str) -> Self {
        let running = Self::serve(free_port(), &bridge(keys, "url = \"memory:\""));
        running.wait_for("/readyz", 200).await;
        running
    }

    /// Starts the server on `port`; `text` is the rest of the file.
    pub(crate) fn serve(port: u16, text: &str) -> Self {
        let admin_port = free_port();
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:{admin_port}\"\negress.allow_loopback = true\n{text}"
        );
        let config = file(&format!("server-{port}.toml"), &text);
        let child = command().arg("--config").arg(config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary runs");
        let log = collect(child.stderr.take().expect("piped"));
        Self { child, port, admin_port, log }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    pub(crate) async fn admin(&self, path: &str) -> reqwest::Result<Response> {
        reqwest::get(format!("http://127.0.0.1:{}{path}", self.admin_port)).await
    }

    pub(crate) async fn wait_for(&self, path: &str, status: u16) {
        let give_up = Instant::now() + Duration::from_secs(10);
        while !self.admin(path).await.is_ok_and(|response| response.status() == status) {
            assert!(Instant::now() < give_up, "{path} did not return {status}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a line of the log that contains each of `parts`, and returns it.
    pub(crate) async fn logged(&self, parts: &[&str]) -> String {
        let give_up = Instant::now() + Duration::from_secs(10);
        loop {
            let found = self.lines_with(parts).into_iter().next();
            if let Some(line) = found {
                return line;
            }
            assert!(Instant::now() < give_up, "no line of the log has {parts:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the lines of the log so far that contain each of `parts`.
    pub(crate) fn lines_with(&self, parts: &[&str]) -> Vec<String> {
        let log = self.log.lock().expect("not poisoned");
        log.iter().filter(|line| parts.iter().all(|part| line.contains(part))).cloned().collect()
    }

    /// Builds a request of protocol version 2026-07-28, which has no sessions, to call `tool`.
    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> RequestBuilder {
        let params = json!({
            "name": tool,
            "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {}
            }
        });
        self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
    }

    /// Builds a `POST` request with `message`.
    pub(crate) fn post(&self, message: &Value) -> RequestBuilder {
        let request = reqwest::Client::new().post(self.url()).json(message);
        request.header(header::ACCEPT, "application/json, text/event-stream")
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the end of the process. Returns its exit status and the time of waiting.
    pub(crate) async fn ended(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return (status, start.elapsed());
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the process does not end");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns a configuration with a bridge; `keys` are the keys of the section `bridge`, `store` those of the section `store`.
pub(crate) fn bridge(keys: &str, store: &str) -> String {
    format!("mode = \"bridge\"\nrequired_scopes = [\"mcp:use\"]\n[store]\n{store}\n[bridge]\n{keys}\n")
}

/// Creates a temporary folder.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", free_port()));
    if path.exists() {
        fs::remove_dir_all(&path).expect("an old folder");
    }
    fs::create_dir_all(&path).expect("a folder");
    path
}

/// Creates a folder with the files that the documentation names.
pub(crate) fn folder_with_secrets(name: &str) -> PathBuf {
    let folder = folder(name);
    fs::create_dir(folder.join("secrets")).expect("a folder");
    let names = "idp app registration provider oidc keycloak google github atlassian salesforce entra okta auth0 gitlab slack notion \
                 linear hubspot figma asana zoom discord box dropbox";
    for secret in names.split(' ') {
        write_closed(&folder.join("secrets").join(secret), "hush\n");
    }
    fs::write(folder.join("logo.svg"), "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").expect("a file");
    for name in ["portcullis.keys", "sessions.keys"] {
        write_closed(&folder.join(name), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    }
    folder
}

/// Asserts that `text` is a valid configuration in `folder`.
pub(crate) fn check(folder: &Path, text: &str) {
    fs::write(folder.join("portcullis.toml"), text).expect("a file");
    let output = command().current_dir(folder).args(["--check", "--config", "portcullis.toml"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a demo whose files are in `folder`. Returns its printed lines and the running server.
pub(crate) fn demo(port: u16, folder: &Path) -> (Vec<String>, Running) {
    let mut child = command()
        .current_dir(folder)
        .env("PORTCULLIS__LISTEN", format!("127.0.0.1:{port}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let log = collect(child.stderr.take().expect("piped"));
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut lines = Vec::new();
    for line in stdout.lines() {
        let line = line.expect("UTF-8");
        let is_last = line.contains("Ctrl-C");
        lines.push(line);
        if is_last {
            break;
        }
    }
    (lines, Running { child, port, admin_port: 0, log })
}

/// Returns the text of a tool's result.
pub(crate) fn text(result: &Value) -> &str {
    let text = &result["result"]["content"][0]["text"];
    assert!(text.is_string(), "{result}");
    text.as_str().unwrap_or_default()
}
