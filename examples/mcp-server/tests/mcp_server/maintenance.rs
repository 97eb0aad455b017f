//! The commands about the store: `rekey`, `forget-unreadable`, `sessions list` and `sessions end`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_test_support::IdentityProvider;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep};

use crate::{
    bridge::{assert_one_file, call, log_in, oidc, registered, sqlite},
    process::{Running, bridge, command, file, folder, free_port},
};

/// A server with a database, whose configuration the commands read.
struct Fixture {
    provider: IdentityProvider,
    _running: portcullis_test_support::RunningIdentityProvider,
    folder: PathBuf,
    config: PathBuf,
    server: Running,
}

impl Fixture {
    async fn start(name: &str) -> Self {
        let provider = IdentityProvider::new();
        let running = provider.serve().await.expect("a port");
        let (port, folder) = (free_port(), folder(name));
        let text = bridge(&oidc(running.url()), &sqlite(&folder));
        let config = file(&format!("{name}-{port}.toml"), &format!("egress.allow_loopback = true\n{text}"));
        let server = Running::serve(port, &text);
        server.wait_for("/readyz", 200).await;
        Self { provider, _running: running, folder, config, server }
    }

    /// Runs a command, and returns its exit code and what it prints.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        run(&self.config, arguments)
    }
}

fn run(config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command().args(arguments).arg("--config").arg(config).output().expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
}

fn write_keys(folder: &Path, text: &str) {
    let keys = folder.join("keys");
    fs::write(&keys, text).expect("keys");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).expect("closed");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_while_the_server_runs() {
    let fixture = Fixture::start("listed").await;
    let client = registered(&fixture.server).await;
    let (of_alice, of_bob) = (log_in(&client, "alice").await, log_in(&client, "bob").await);
    assert_eq!(call(&fixture.server, "whoami", of_alice.access_token()).await.status(), StatusCode::OK);

    let (code, listed) = fixture.run(&["sessions", "list"]);
    assert_eq!((code, listed.lines().count()), (Some(0), 2), "{listed}");
    let line = listed.lines().find(|line| line.contains("#alice\t")).expect("a session of alice");
    let fields: Vec<_> = line.split('\t').collect();
    assert_eq!((fields.len(), fields[3]), (6, "mcp:use"), "{line}");
    for secret in [of_alice.access_token(), of_alice.refresh_token()] {
        assert!(!listed.contains(secret));
    }

    let (code, ended) = fixture.run(&["sessions", "end", fields[0]]);
    assert!(code == Some(0) && ended.contains(&format!("{}\tended\n", fields[0])), "{ended}");
    assert!(ended.contains("session ended") && ended.contains("reason=\"revoked\""), "one line of the log: {ended}");
    let (_, again) = fixture.run(&["sessions", "end", fields[0]]);
    assert!(again.contains("no such session"), "{again}");
    // The cached user of the running server is invalidated.
    let give_up = Instant::now() + Duration::from_secs(5);
    while call(&fixture.server, "whoami", of_alice.access_token()).await.status() != StatusCode::UNAUTHORIZED {
        assert!(Instant::now() < give_up, "the token of an ended session is accepted");
        sleep(Duration::from_millis(50)).await;
    }
    let refused = client.refresh(of_alice.refresh_token()).await.expect("answer");
    assert_eq!(refused.error(), Some("invalid_grant"));
    assert_eq!(call(&fixture.server, "whoami", of_bob.access_token()).await.status(), StatusCode::OK);

    let (code, ended) = fixture.run(&["sessions", "end", "--subject", "bob", "--issuer", "https://other.example"]);
    assert_eq!((code, &*ended), (Some(0), ""), "bob of another issuer");
    let (code, ended) = fixture.run(&["sessions", "end", "--subject", "bob", "--issuer", &fixture.provider.issuer()]);
    assert_eq!((code, ended.matches("\tended\n").count()), (Some(0), 1), "{ended}");
    assert_eq!(fixture.run(&["sessions", "list"]), (Some(0), String::new()));
}

#[tokio::test]
async fn rekey_seals_every_row_with_the_first_key() {
    let mut fixture = Fixture::start("rekeyed").await;
    let client = registered(&fixture.server).await;
    let tokens = log_in(&client, "alice").await;
    fixture.server.terminate();
    assert_eq!(fixture.server.ended().await.0.code(), Some(0));

    let old = fs::read_to_string(fixture.folder.join("keys")).expect("keys");
    let new = "f".repeat(64);
    write_keys(&fixture.folder, &format!("{new}\n{old}"));
    let (code, report) = fixture.run(&["rekey"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(!report.starts_with("resealed 0,") && report.contains("unreadable 0"), "{report}");
    let (_, again) = fixture.run(&["rekey"]);
    assert!(again.starts_with("resealed 0,") && again.contains("unreadable 0"), "{again}");
    assert_one_file(&fixture.folder);

    // The old key is not needed any more.
    write_keys(&fixture.folder, &new);
    let port = fixture.server.address().1;
    let text = fs::read_to_string(&fixture.config).expect("a file").replace("egress.allow_loopback = true\n", "");
    let server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    assert_eq!(call(&server, "whoami", tokens.access_token()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn forget_unreadable_removes_what_no_key_opens_and_nothing_else() {
    let mut fixture = Fixture::start("forgotten").await;
    let client = registered(&fixture.server).await;
    let tokens = log_in(&client, "alice").await;
    let old = fs::read_to_string(fixture.folder.join("keys")).expect("keys");
    let new = "f".repeat(64);

    write_keys(&fixture.folder, &new);
    let (code, text) = fixture.run(&["forget-unreadable"]);
    assert_eq!(code, Some(2), "the key opens nothing, so nothing is removed: {text}");
    write_keys(&fixture.folder, &old);
    assert_eq!(fixture.run(&["forget-unreadable"]), (Some(0), "forgot 0 rows\n".to_owned()));
    assert_eq!(call(&fixture.server, "whoami", tokens.access_token()).await.status(), StatusCode::OK);

    // A second session is sealed with another key, and the first key is lost.
    fixture.server.terminate();
    assert_eq!(fixture.server.ended().await.0.code(), Some(0));
    write_keys(&fixture.folder, &format!("{new}\n{old}"));
    let port = fixture.server.address().1;
    let text = fs::read_to_string(&fixture.config).expect("a file").replace("egress.allow_loopback = true\n", "");
    let mut server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    let client = registered(&server).await;
    let of_bob = log_in(&client, "bob").await;
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));
    write_keys(&fixture.folder, &new);
    let (code, report) = fixture.run(&["forget-unreadable"]);
    assert!(code == Some(0) && report != "forgot 0 rows\n", "{report}");
    let (code, listed) = fixture.run(&["sessions", "list"]);
    assert_eq!((code, listed.lines().count()), (Some(0), 1), "{listed}");
    assert!(listed.contains("#bob\t"), "{listed}");
    let server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    assert_eq!(call(&server, "whoami", of_bob.access_token()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn readyz_tells_that_the_database_was_replaced_and_that_the_keys_open_nothing() {
    let fixture = Fixture::start("unready").await;
    fs::remove_file(fixture.folder.join("portcullis.db")).expect("a database");
    fixture.server.wait_for("/readyz", 503).await;
    let text = fixture.server.admin("/readyz").await.expect("answer").text().await.expect("text");
    assert!(text.contains("portcullis.db") && text.contains("replaced or deleted while it was in use"), "{text}");

    let fixture = Fixture::start("rekeyed-beside").await;
    let old = fs::read_to_string(fixture.folder.join("keys")).expect("keys");
    write_keys(&fixture.folder, &format!("{}\n{old}", "f".repeat(64)));
    assert_eq!(fixture.run(&["rekey"]).0, Some(0));
    fixture.server.wait_for("/readyz", 503).await;
    let text = fixture.server.admin("/readyz").await.expect("answer").text().await.expect("text");
    assert!(text.contains("not on the key ring") && text.contains("`store.encryption_keys_file`"), "{text}");
}

#[test]
fn a_command_needs_the_configuration_of_a_bridge_with_a_database() {
    let output = command().args(["sessions", "list"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config FILE"));

    let keys = oidc("https://idp.example.com");
    let in_memory = file("maintenance-memory.toml", &bridge(&keys, "url = \"memory:\""));
    let (code, text) = run(&in_memory, &["rekey"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no store in a file") && text.lines().count() == 1, "{text}");

    let folder = folder("absent");
    let absent = file("maintenance-absent.toml", &bridge(&keys, &sqlite(&folder)));
    let (code, text) = run(&absent, &["sessions", "list"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("does not exist") && text.contains("`store.url`"), "{text}");
    assert!(!folder.join("portcullis.db").exists(), "no database is created");
}
