//! [`RedirectUri`]: a validated redirect URI.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use url::{Host, Url};

/// A validated redirect URI, compared as a string.
///
/// - `https`, with a host;
/// - `http` or `https` on loopback (`localhost`, `127.0.0.1`, `[::1]`), where the port is not compared
///   ([RFC 8252 section 7.3](https://www.rfc-editor.org/rfc/rfc8252#section-7.3)): an app listens on a free port. The three hosts
///   are different. An empty path is the same as `/`
///   ([RFC 3986 section 6.2.3](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.3)), because some apps register one and present the other;
/// - `http` with a host that the operator has named ([`with_http_hosts`](Self::with_http_hosts));
/// - the private scheme of an app, such as `cursor://` or `com.example.app:/` ([RFC 8252 section
///   7.1](https://www.rfc-editor.org/rfc/rfc8252#section-7.1)), but none that browsers or operating systems handle
///   themselves. A dot in the scheme is not required, because existing apps have none.
///
/// It has no fragment, user name or wildcard, only the characters of a URI, and a host that every parser reads alike.
///
/// ```
/// use portcullis_bridge::RedirectUri;
///
/// let registered = RedirectUri::new("http://127.0.0.1/callback")?;
/// assert!(registered.matches("http://127.0.0.1:49152/callback"), "the port is not compared");
/// assert!(!registered.matches("http://127.0.0.1:49152/other"));
/// assert!(!registered.matches("http://localhost:49152/callback"));
/// assert!(RedirectUri::new("javascript:alert(1)").is_err());
/// # Ok::<(), portcullis_bridge::InvalidRedirectUri>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(into = "String")]
pub struct RedirectUri {
    text: Box<str>,
    target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Https,
    /// `http` with a host that is not on loopback.
    Http,
    Loopback,
    App,
}

/// An error that reports an invalid redirect URI.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid redirect URI {uri:?}: {why}")]
#[non_exhaustive]
pub struct InvalidRedirectUri {
    /// The text, truncated to 200 characters.
    pub uri: String,
    /// The reason.
    pub why: &'static str,
}

/// Why `http` with another host is invalid.
pub(crate) const PLAIN_HTTP: &str = "http is allowed for loopback and for configured hosts only";

/// The maximum length. Redirect URIs are stored and shown.
const MAX_LEN: usize = 2048;

/// Schemes that browsers or operating systems handle themselves. The list cannot be complete, and need not be: users consent before
/// the bridge redirects to an app, and any web page can open the same URLs.
const RESERVED_SCHEMES: [&str; 47] = [
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

/// Prefixes of such schemes: handlers of Windows (`ms-msdt`) and of Apple's systems, pages of browsers.
const RESERVED_PREFIXES: [&str; 7] = ["ms-", "microsoft-", "x-apple", "apple-", "itms", "chrome", "moz-"];

impl RedirectUri {
    /// Validates `text`.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`] if it violates a rule above.
    pub fn new(text: &str) -> Result<Self, InvalidRedirectUri> {
        Self::with_http_hosts::<&str>(text, &[])
    }

    /// Validates `text`, which may be `http` with one of `hosts`, such as `host.docker.internal` or `192.168.1.20`: for clients in the
    /// operator's own network. The port is compared.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`] if it violates a rule above.
    pub fn with_http_hosts<H: AsRef<str>>(text: &str, hosts: &[H]) -> Result<Self, InvalidRedirectUri> {
        let invalid = |why| InvalidRedirectUri { uri: text.chars().take(200).collect(), why };
        let uri = Self::parse(text).map_err(invalid)?;
        if uri.is_permitted(hosts) { Ok(uri) } else { Err(invalid(PLAIN_HTTP)) }
    }

    /// Reports whether it is not plain `http`, or has one of `hosts`.
    pub(crate) fn is_permitted<H: AsRef<str>>(&self, hosts: &[H]) -> bool {
        let host = self.display_target();
        self.target != Target::Http || hosts.iter().any(|permitted| permitted.as_ref().eq_ignore_ascii_case(host))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        target(text).map(|target| Self { text: text.into(), target })
    }

    /// Returns the URI as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reports whether `presented` is the same string, or on loopback the same except for the port and an empty path.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        if *self.text == *presented {
            return true;
        }
        self.target == Target::Loopback
            && target(presented) == Ok(Target::Loopback)
            && without_port(presented) == without_port(&self.text)
    }

    /// Reports whether it is on loopback, where any program of the user's machine can listen.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.target == Target::Loopback
    }

    /// Reports whether it is `http` with a host that is not on loopback: a code travels without encryption.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.target == Target::Http
    }

    /// Reports whether it is `https` with a host that is not on loopback: only that host receives a code.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.target == Target::Https
    }

    /// Reports whether it has the private scheme of an app, which any program of the user's machine can register.
    #[must_use]
    pub fn is_app(&self) -> bool {
        self.target == Target::App
    }

    /// Returns the part that users see: the host, or the scheme of an app.
    #[must_use]
    pub fn display_target(&self) -> &str {
        let (scheme, rest) = split(&self.text).unwrap_or_default();
        match self.target {
            Target::App => &self.text[..=scheme.len()],
            Target::Https | Target::Http | Target::Loopback => host(authority(rest)),
        }
    }
}

/// Returns the kind of the redirect URI `text`, or why it is invalid.
fn target(text: &str) -> Result<Target, &'static str> {
    if text.len() > MAX_LEN {
        return Err("too long");
    }
    // This parser would drop or encode other characters, and other parsers would not.
    let is_invalid = |byte: u8| !byte.is_ascii_graphic() || br#""<>\^`{|}"#.contains(&byte);
    if text.bytes().any(is_invalid) {
        return Err("has characters that are not allowed in a URI");
    }
    if text.contains('*') {
        return Err("has a wildcard");
    }
    let url = Url::parse(text).map_err(|_| "not an absolute URI")?;
    if url.fragment().is_some() {
        return Err("has a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name");
    }
    let (scheme, rest) = split(text).ok_or("not an absolute URI")?;
    match url.scheme() {
        "http" | "https" => {
            // `https:host`, `https:///host`, `http://0x7f.1` and the like: parsers disagree about the host.
            let written = authority(rest);
            let is_plain = url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(self::host(written)));
            if !is_plain || written.ends_with(':') {
                return Err("host is not in canonical form");
            }
            match (is_loopback(&url), url.scheme()) {
                (true, _) => Ok(Target::Loopback),
                (false, "https") => Ok(Target::Https),
                // No interface has this address, which is not the same as loopback.
                (false, _) if matches!(url.host(), Some(Host::Ipv4(address)) if address.is_unspecified()) => {
                    Err("0.0.0.0 is the address of no host")
                }
                (false, _) => Ok(Target::Http),
            }
        }
        known
            if RESERVED_SCHEMES.contains(&known)
                || RESERVED_PREFIXES.iter().any(|family| known.starts_with(family)) =>
        {
            Err("reserved scheme")
        }
        // Without a path it is a name, such as `urn:`.
        _ if !rest.starts_with('/') || scheme.len() < 2 => Err("private scheme without a path"),
        _ => Ok(Target::App),
    }
}

/// Splits `text` after the scheme.
fn split(text: &str) -> Option<(&str, &str)> {
    text.split_once(':')
}

/// Returns host and port of `rest`, which follows `http:`.
fn authority(rest: &str) -> &str {
    let rest = rest.strip_prefix("//").unwrap_or_default();
    &rest[..rest.find(['/', '?']).unwrap_or(rest.len())]
}

/// Returns the host of `authority`. A colon in an IPv6 address does not begin a port.
fn host(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// Returns scheme, host and the part after the port, which is empty for the path `/`.
fn without_port(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = split(text)?;
    let authority = authority(rest);
    let path = &rest["//".len() + authority.len()..];
    Some((scheme, host(authority), if path == "/" { "" } else { path }))
}

/// Reports whether `url` is on loopback.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Reads a redirect URI that was validated before it was serialized. Its use is subject to the [hosts](RedirectUri::with_http_hosts) that
/// are configured then.
impl<'de> Deserialize<'de> for RedirectUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
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
