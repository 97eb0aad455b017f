//! `RedirectUri`: what is taken is where a browser would go, and what matches it differs in the port of loopback at most.

use portcullis_bridge::RedirectUri;

/// Two lines: what a client registered, and what it presents.
pub(crate) fn hold(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (registered, presented) = text.split_once('\n').unwrap_or((text, text));
    let Ok(uri) = RedirectUri::new(registered) else { return };
    assert_eq!(uri.as_str(), registered, "it is kept as it was written");
    assert!(uri.matches(registered));
    assert!(
        registered.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#*".contains(&byte)),
        "{registered}"
    );
    let (scheme, rest) = registered.split_once(':').expect("a scheme");
    let scheme = scheme.to_ascii_lowercase();
    assert!(
        !["javascript", "data", "vbscript", "file", "blob", "about", "view-source"].contains(&&*scheme),
        "{registered}"
    );
    if ["http", "https"].contains(&&*scheme) {
        let authority = authority(rest).expect("an authority");
        assert!(!authority.is_empty() && !authority.contains('@'), "{registered}");
        let host = host(authority).to_ascii_lowercase();
        let is_loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        assert!(
            scheme == "https" || is_loopback || !host.contains(|c: char| c.is_ascii_alphabetic() && c != 'x'),
            "{registered}"
        );
    }
    if uri.matches(presented) && registered != presented {
        assert!(uri.is_loopback(), "{registered} {presented}");
        let other = presented.split_once(':').map_or("", |(_, rest)| rest);
        let (known, new) = (authority(rest).unwrap_or_default(), authority(other).unwrap_or_default());
        assert_eq!(host(known), host(new), "{registered} {presented}");
        let path = |text: &str, authority: &str| text[2 + authority.len()..].to_owned();
        assert_eq!(path(rest, known), path(other, new), "{registered} {presented}");
        let port = &new[host(new).len()..];
        assert!(
            port.is_empty()
                || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        );
    }
}

/// What stands between `//` and the path.
fn authority(rest: &str) -> Option<&str> {
    rest.strip_prefix("//")?.split(['/', '?']).next()
}

fn host(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|inside| inside.find(']')) {
        Some(end) => &authority[..end + 2],
        None => authority.split(':').next().unwrap_or(authority),
    }
}
