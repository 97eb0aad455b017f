//! [`RedirectUri`]: where codes may be sent.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Where codes may be sent, kept and compared as it was written.
///
/// - `https`, with a host;
/// - `http` or `https` on loopback (`localhost`, `127.0.0.1`, `[::1]`), where the port is not compared
///   ([RFC 8252 section 7.3](https://www.rfc-editor.org/rfc/rfc8252#section-7.3)): an app takes the one that is free. Each of the
///   three is a host of its own;
/// - the private scheme of an app, such as `cursor://` or `com.example.app:/` ([RFC 8252 section
///   7.1](https://www.rfc-editor.org/rfc/rfc8252#section-7.1)), but none that a browser or the system below it acts on by itself.
///   A dot in it is not demanded: the apps that are out there have none.
///
/// No fragment, no user name, no wildcards, nothing but the characters of a URI, and the host as every parser reads it.
///
/// ```
/// use portcullis_bridge::RedirectUri;
///
/// let registered = RedirectUri::new("http://127.0.0.1/callback")?;
/// assert!(registered.matches("http://127.0.0.1:49152/callback"), "the port is what was free");
/// assert!(!registered.matches("http://127.0.0.1:49152/other"));
/// assert!(!registered.matches("http://localhost:49152/callback"));
/// assert!(RedirectUri::new("javascript:alert(1)").is_err());
/// # Ok::<(), portcullis_bridge::InvalidRedirectUri>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri {
    text: Box<str>,
    target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Https,
    Loopback,
    App,
}

/// Why no code may be sent there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{uri:?} is no redirect URI: {why}")]
#[non_exhaustive]
pub struct InvalidRedirectUri {
    /// What was written, or the beginning of it.
    pub uri: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Longer ones are refused: they are stored, and shown.
const MAX_LEN: usize = 2048;

/// Schemes that a browser, or the system below it, acts on by itself. The list cannot be complete. It need not be: a user has been
/// asked before anything is sent to an app, and every page of the web can open the same URLs without us.
const ACTED_ON: [&str; 47] = [
    "about",
    "afp",
    "applescript",
    "blob",
    "callto",
    "cifs",
    "content",
    "data",
    "edge",
    "facetime",
    "feed",
    "file",
    "filesystem",
    "ftp",
    "gopher",
    "hcp",
    "help",
    "intent",
    "irc",
    "jar",
    "javascript",
    "ldap",
    "ldaps",
    "livescript",
    "mailto",
    "mhtml",
    "mk",
    "mocha",
    "news",
    "nfs",
    "res",
    "resource",
    "rlogin",
    "search",
    "search-ms",
    "sftp",
    "shell",
    "sip",
    "sms",
    "smb",
    "ssh",
    "tel",
    "telnet",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// And families of them: handlers of Windows (`ms-msdt`), of Apple's systems, pages of browsers.
const ACTED_ON_FAMILIES: [&str; 7] = ["ms-", "microsoft-", "x-apple", "apple-", "itms", "chrome", "moz-"];

impl RedirectUri {
    /// The redirect URI `text`.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`] if no code may be sent there.
    pub fn new(text: &str) -> Result<Self, InvalidRedirectUri> {
        match target(text) {
            Ok(target) => Ok(Self { text: text.into(), target }),
            Err(why) => Err(InvalidRedirectUri { uri: text.chars().take(200).collect(), why }),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `presented` is this one: the same string, or, on loopback, the same but for the port.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        if *self.text == *presented {
            return true;
        }
        self.target == Target::Loopback
            && target(presented) == Ok(Target::Loopback)
            && without_port(presented) == without_port(&self.text)
    }

    /// Whether it is on the user's own machine, where any program may listen.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.target == Target::Loopback
    }

    /// Whether it is the private scheme of an app, which any program of the user's machine may have taken.
    #[must_use]
    pub fn is_app(&self) -> bool {
        self.target == Target::App
    }

    /// What a user is shown of it: the host, or the scheme of an app.
    #[must_use]
    pub fn shown(&self) -> &str {
        let (scheme, rest) = split(&self.text).unwrap_or_default();
        match self.target {
            Target::App => &self.text[..=scheme.len()],
            Target::Https | Target::Loopback => host(authority(rest)),
        }
    }
}

/// Where `text` leads, or what is wrong with it.
fn target(text: &str) -> Result<Target, &'static str> {
    if text.len() > MAX_LEN {
        return Err("it is too long");
    }
    // The parser would drop or encode what else there is, and others would not.
    let is_strange = |byte: u8| !byte.is_ascii_graphic() || br#""<>\^`{|}"#.contains(&byte);
    if text.bytes().any(is_strange) {
        return Err("it has characters that no URI has");
    }
    if text.contains('*') {
        return Err("it has a wildcard");
    }
    let url = Url::parse(text).map_err(|_| "it is no absolute URI")?;
    if url.fragment().is_some() {
        return Err("it has a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name");
    }
    let (scheme, rest) = split(text).ok_or("it is no absolute URI")?;
    match url.scheme() {
        "http" | "https" => {
            // `https:host`, `https:///host`, `http://0x7f.1` and the like: parsers do not agree where these lead.
            let written = authority(rest);
            let is_plain = url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(self::host(written)));
            if !is_plain || written.ends_with(':') {
                return Err("its host is not written as a host is");
            }
            match (is_loopback(&url), url.scheme()) {
                (true, _) => Ok(Target::Loopback),
                (false, "https") => Ok(Target::Https),
                (false, _) => Err("plain http is for loopback"),
            }
        }
        known if ACTED_ON.contains(&known) || ACTED_ON_FAMILIES.iter().any(|family| known.starts_with(family)) => {
            Err("a browser or the system acts on its scheme")
        }
        // Without a path it is a name (`urn:`) or something that an app would have to make sense of.
        _ if !rest.starts_with('/') || scheme.len() < 2 => Err("an app's scheme is followed by a path"),
        _ => Ok(Target::App),
    }
}

/// Scheme, and what follows the colon.
fn split(text: &str) -> Option<(&str, &str)> {
    text.split_once(':')
}

/// Of what follows `http:`: host and port.
fn authority(rest: &str) -> &str {
    let rest = rest.strip_prefix("//").unwrap_or_default();
    &rest[..rest.find(['/', '?']).unwrap_or(rest.len())]
}

/// The host of `authority`. The colons of an IPv6 address are not that of a port.
fn host(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// Scheme and host, and what follows the port.
fn without_port(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = split(text)?;
    let authority = authority(rest);
    let path = &rest["//".len() + authority.len()..];
    Some((scheme, host(authority), path))
}

/// On the machine itself.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = InvalidRedirectUri;

    fn try_from(text: String) -> Result<Self, InvalidRedirectUri> {
        Self::new(&text)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.text.into()
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}
