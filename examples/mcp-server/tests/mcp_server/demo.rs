//! The demo: what it prints works when it is pasted.

use std::process::{Command, Output};

use serde_json::Value;

use crate::process::{command, demo, free_port, text};

fn paste(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().expect("a shell")
}

#[tokio::test]
async fn the_printed_commands_work_when_pasted() {
    let (lines, mut server) = demo(free_port());
    let commands: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect();
    let [with_token, without_token] = commands[..] else { panic!("two commands: {lines:#?}") };

    let output = paste(with_token);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let user: Value = serde_json::from_str(text(&answer)).expect("a user context");
    assert_eq!((&user["subject"], &user["kind"]), (&Value::from("ada"), &Value::from("user")));
    assert_eq!(user["profile"]["name"], "Ada Lovelace");
    assert!(!text(&answer).contains("eyJ"), "a context never contains the token");

    let output = paste(without_token);
    let answer = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let challenge = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("www-authenticate: bearer "));
    assert!(challenge.is_some_and(|line| line.contains("/.well-known/oauth-protected-resource/mcp")), "{answer}");

    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_way_out() {
    let (_, server) = demo(free_port());
    let (host, port) = server.address();
    let output = command().env("PORTCULLIS__LISTEN", format!("{host}:{port}")).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&format!("{host}:{port}")) && stderr.contains("PORTCULLIS__LISTEN"), "{stderr}");
}

#[test]
fn a_bad_variable_stops_the_demo() {
    let output = command().env("PORTCULLIS__CACHE__TLL", "5m").output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(stderr.contains("PORTCULLIS__CACHE__TLL") && stderr.contains("`ttl`"), "{stderr}");
}
