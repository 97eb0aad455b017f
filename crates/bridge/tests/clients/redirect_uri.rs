//! Redirect URIs.

use portcullis_bridge::RedirectUri;
use proptest::prelude::*;

fn uri(text: &str) -> RedirectUri {
    RedirectUri::new(text).expect(text)
}

#[test]
fn as_11_web_loopback_and_app_uris_are_kept_as_they_are_written() {
    for text in [
        "https://app.example.com/callback",
        "https://app.example.com/callback?from=mcp&x=%2F",
        "https://app.example.com:8443/callback",
        "https://App.Example.com/Callback",
        "https://app.example.com",
        "https://192.0.2.7/callback",
        "https://claude.ai/api/mcp/auth_callback",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:49152/callback",
        "http://[::1]:123/cb",
        "http://localhost:3000/oauth/callback",
        "https://localhost:3000/cb",
        "cursor://anysphere.cursor-retrieval/oauth/user-github/callback",
        "vscode://vscode.github-authentication/did-authenticate",
        "vscode-insiders://vscode.github-authentication/did-authenticate",
        "com.example.app:/oauth2redirect",
        "com.example.app://oauth2redirect?x=1",
    ] {
        assert_eq!(uri(text).as_str(), text);
        assert!(uri(text).matches(text), "{text}");
    }
}

#[test]
fn as_12_nothing_is_redirected_to_what_a_browser_acts_on() {
    for text in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "javascript://app.example.com/%0aalert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://app.example.com/x",
        "view-source:https://app.example.com/",
        "about:blank",
        "ms-msdt:/id",
        "ms-word:ofe|u|https://x",
        "ms-settings://x",
        "search-ms://query=x",
        "microsoft-edge://x",
        "x-apple.systempreferences://x",
        "itms-services://?action=download-manifest",
        "chrome-extension://id/x",
        "intent://x#Intent;end",
        "shell://x",
        "smb://host/share",
        "mailto:a@example.com",
        "tel:+1",
        "ws://app.example.com/",
        "ftp://app.example.com/",
        "urn:ietf:wg:oauth:2.0:oob",
        "myapp:callback",
        "c:/windows/system32",
    ] {
        assert!(RedirectUri::new(text).is_err(), "{text}");
    }
}

#[test]
fn g_10_plain_http_is_for_loopback_only_and_not_for_what_looks_like_it() {
    for text in [
        "http://app.example.com/cb",
        "http://127.0.0.1.evil.com/cb",
        "http://localhost.evil/cb",
        "http://localhost.evil.com:3000/cb",
        "http://evil.localhost/cb",
        "http://localhost./cb",
        "http://0.0.0.0/cb",
        "http://10.0.0.1/cb",
        "http://[::]/cb",
        "http://[::ffff:127.0.0.1]/cb",
        "http://2130706433/cb",
        "http://0x7f.1/cb",
        "http://127.1/cb",
        "http://%6cocalhost/cb",
        "http://１２７.0.0.1/cb",
    ] {
        assert!(RedirectUri::new(text).is_err(), "{text}");
    }
}

#[test]
fn as_11_what_parsers_read_differently_is_refused() {
    for text in [
        "",
        "/callback",
        "//app.example.com/callback",
        "app.example.com/callback",
        "https:evil.com",
        "https:/evil.com",
        "https:///evil.com/cb",
        "https:\\\\evil.com",
        "https://evil.com\\@app.example.com/cb",
        "http:localhost/a://b:1/x",
        "http:///localhost/cb",
        "https://app.example.com@evil.com/cb",
        "https://user:word@app.example.com/cb",
        "https://@app.example.com/cb",
        "https://app.example.com/cb#fragment",
        "https://app.example.com/cb#",
        "https://*.example.com/cb",
        "https://app.example.com/*",
        "https://app.example.com/{tenant}/cb",
        "https://app.example.com:/cb",
        "https://app.example.com:99999/cb",
        "https://app.ex\tample.com/cb",
        "https://app.example.com/c b",
        "https://app.example.com/cb\n",
        " https://app.example.com/cb",
        "https://app.example.com/c\u{0}b",
        "https://äpp.example.com/cb",
        "https://app.example.com/ü",
        "https://app%2eexample.com/cb",
        "https://app.example.com%2f@evil.com/cb",
        "cursor://user@host/cb",
        "cursor://host/cb#x",
    ] {
        assert!(RedirectUri::new(text).is_err(), "{text:?}");
    }
    assert!(RedirectUri::new(&format!("https://app.example.com/{}", "x".repeat(2048))).is_err());
}

#[test]
fn as_11_another_string_is_another_redirect_uri() {
    for (registered, presented) in [
        ("https://app.example.com/cb", "https://app.example.com/cb/"),
        ("https://app.example.com/cb", "https://app.example.com/CB"),
        ("https://app.example.com/cb", "https://APP.example.com/cb"),
        ("https://app.example.com/cb", "https://app.example.com:443/cb"),
        ("https://app.example.com/cb", "https://app.example.com/cb?x=1"),
        ("https://app.example.com/cb", "https://app.example.com/x/../cb"),
        ("https://app.example.com/cb", "https://app.example.com/%63b"),
        ("https://app.example.com/cb", "https://app.example.com/cb#"),
        ("https://app.example.com/", "https://app.example.com"),
        ("https://app.example.com:8443/cb", "https://app.example.com:8444/cb"),
        ("com.example.app:/cb", "com.example.app://cb"),
        ("cursor://host:1/cb", "cursor://host:2/cb"),
    ] {
        assert!(!uri(registered).matches(presented), "{registered} {presented}");
    }
}

#[test]
fn as_11_on_loopback_the_port_is_free_and_nothing_else() {
    let matches = |registered: &str, presented: &str| uri(registered).matches(presented);
    for (registered, presented) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb"),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1:49152/cb"),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb"),
        ("http://localhost:1/cb?a=b", "http://localhost:49152/cb?a=b"),
        ("http://localhost", "http://localhost:49152"),
        // An empty path is the same as `/`. RFC 3986 section 6.2.3.
        ("http://127.0.0.1:33418", "http://127.0.0.1:33418/"),
        ("http://127.0.0.1:33418/", "http://127.0.0.1:33418"),
        ("http://localhost/", "http://localhost:49152"),
        ("http://[::1]", "http://[::1]:49152/"),
        ("http://[::1]/cb", "http://[::1]:49152/cb"),
    ] {
        assert!(matches(registered, presented), "{registered} {presented}");
    }
    for (registered, presented) in [
        ("http://localhost/cb", "http://127.0.0.1:1/cb"),
        ("http://127.0.0.1/cb", "http://localhost/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.2/cb"),
        ("http://127.0.0.1/cb", "http://[::1]/cb"),
        ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb/"),
        ("http://127.0.0.1", "http://127.0.0.1:1//"),
        ("http://127.0.0.1", "http://127.0.0.1:1/?x=1"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb?x=1"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb#x"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.com/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1.evil.com/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:x/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
    ] {
        assert!(!matches(registered, presented), "{registered} {presented}");
    }
}

#[test]
fn g_10_plain_http_is_for_hosts_that_the_operator_names() {
    let hosts = ["host.docker.internal", "192.168.1.20", "nas.local"];
    for text in [
        "http://host.docker.internal:3080/api/mcp/callback",
        "http://192.168.1.20/cb",
        "http://NAS.local:8080/cb",
        "http://localhost:1/cb",
        "https://app.example.com/cb",
    ] {
        assert_eq!(RedirectUri::with_http_hosts(text, &hosts).expect(text).as_str(), text);
    }
    for text in [
        "http://host.docker.internal.evil.com/cb",
        "http://evil.host.docker.internal/cb",
        "http://192.168.1.21/cb",
        "http://0.0.0.0/cb",
        "http://nas.local@evil.com/cb",
        "http://nas.local./cb",
        "http://evil.localhost/cb",
    ] {
        assert!(RedirectUri::with_http_hosts(text, &hosts).is_err(), "{text}");
    }
    assert!(RedirectUri::with_http_hosts("http://0.0.0.0/cb", &["0.0.0.0"]).is_err(), "no host has this address");
    let registered = RedirectUri::with_http_hosts("http://192.168.1.20:3000/cb", &hosts).expect("a redirect URI");
    assert!(registered.is_plain_http() && !registered.is_loopback() && !registered.is_app());
    assert!(!registered.matches("http://192.168.1.20:3001/cb"), "the port is compared");
    assert!(!registered.matches("http://192.168.1.20:3000/cb/"));
}

#[test]
fn as_23_the_host_or_the_scheme_of_an_app_is_shown() {
    for (text, shown) in [
        ("https://app.example.com:8443/cb", "app.example.com"),
        ("https://app.example.com", "app.example.com"),
        ("https://app.example.com?x=/:y", "app.example.com"),
        ("http://127.0.0.1:1/cb", "127.0.0.1"),
        ("http://[::1]:1/cb", "[::1]"),
        ("cursor://anysphere/cb", "cursor:"),
        ("com.example.app:/cb", "com.example.app:"),
    ] {
        assert_eq!(uri(text).display_target(), shown, "{text}");
    }
    assert!(uri("http://localhost:1/cb").is_loopback() && uri("https://localhost/cb").is_loopback());
    assert!(!uri("https://app.example.com/cb").is_loopback());
    assert!(uri("cursor://x/cb").is_app() && !uri("http://localhost/cb").is_app());
}

/// Removes the port of a URI by another algorithm than the product's.
fn without_port(text: &str) -> String {
    let slashes = text.find("//").map_or(0, |at| at + 2);
    let end = text[slashes..].find(['/', '?', '#']).map_or(text.len(), |at| slashes + at);
    let host = text[slashes..end].trim_end_matches(|character: char| character.is_ascii_digit());
    let host =
        if host.len() < end - slashes { host.strip_suffix(':').unwrap_or_else(|| &text[slashes..end]) } else { host };
    let path = if &text[end..] == "/" { "" } else { &text[end..] };
    format!("{}{host}{path}", &text[..slashes])
}

/// Generates similar URIs, also ones that an attacker would use.
fn similar() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(vec!["http://", "https://", "http:", "http:///", "HTTP://", "app://", "app:/"]);
    let user = prop::sample::select(vec!["", "", "", "a@", "127.0.0.1:1@"]);
    let host = prop::sample::select(vec![
        "127.0.0.1",
        "localhost",
        "[::1]",
        "127.1",
        "evil.com",
        "localhost.evil.com",
        "LOCALHOST",
    ]);
    let port = prop::sample::select(vec!["", ":", ":1", ":49152", ":080", ":x", ":1:2", ":65536"]);
    let path = prop::sample::select(vec![
        "",
        "/",
        "/cb",
        "/cb:1",
        "/a://b:1/x",
        "/cb?x=:2",
        "?x=:3/",
        "/cb#",
        "/../cb",
        "\\cb",
    ]);
    (scheme, user, host, port, path)
        .prop_map(|(scheme, user, host, port, path)| format!("{scheme}{user}{host}{port}{path}"))
}

proptest! {
    #[test]
    fn as_11_what_matches_differs_in_the_port_of_loopback_at_most(registered in similar(), presented in similar()) {
        let Ok(known) = RedirectUri::new(&registered) else { return Ok(()) };
        if known.matches(&presented) {
            prop_assert!(known.is_loopback() || registered == presented);
            prop_assert_eq!(without_port(&registered), without_port(&presented));
        }
    }

    #[test]
    fn as_11_a_changed_byte_outside_of_the_port_is_another_redirect_uri(at in 0_usize..40, with in any::<char>()) {
        let registered = "http://localhost/oauth/callback?client=mcp";
        let mut presented = registered.to_owned();
        if presented[at..].starts_with(with) { return Ok(()) }
        presented.replace_range(at..=at, with.encode_utf8(&mut [0; 4]));
        prop_assert!(!uri(registered).matches(&presented), "{}", presented);
    }
}
