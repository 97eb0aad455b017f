//! [`RedirectUri`]: where codes may be sent.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Where codes may be sent, kept and compared as it was written.
///
/// - `https`, with a host;
/// - `http` on loopback (`localhost`, `127.0.0.1`, `[::1]`), where the port is not compared
///   ([RFC 8252 section 7.3](https://www.rfc-editor.org/rfc/rfc8252#section-7.3)): an app takes the one that is free;
/// - a private scheme of an app, such as `cursor://` or `com.example.app:/` ([RFC 8252 section
///   7.1](https://www.rfc-editor.org/rfc/rfc8252#section-7.1)), but none that a browser acts on by itself.
///
/// No fragment, no user name, no wildcards, nothing but visible ASCII.
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
    /// What was written.
    pub uri: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Longer ones are refused: they are stored, and shown.
const MAX_LEN: usize = 2048;

/// Schemes that a browser, or the system below it, acts on by itself.
const ACTED_ON: [&str; 19] = [
    "about", "blob", "chrome", "chrome-extension", "content", "data", "file", "filesystem", "ftp", "intent", "jar",
    "javascript", "mailto", "ms-appx", "resource", "vbscript", "view-source", "ws", "wss",
];

impl RedirectUri {
    /// The redirect URI `text`.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`] if no code may be sent there.
    pub fn new(text: &str) -> Result<Self, InvalidRedirectUri> {
        let invalid = |why| InvalidRedirectUri { uri: text.chars().take(200).collect(), why };
        if text.len() > MAX_LEN {
            return Err(invalid("it is too long"));
        }
        // The parser would drop or encode what else there is, and others would not.
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'`')) {
            return Err(invalid("it has characters that no URI has"));
        }
        let url = Url::parse(text).map_err(|_| invalid("it is no absolute URI"))?;
        if url.fragment().is_some() {
            return Err(invalid("it has a fragment"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it has a user name"));
        }
        let target = match url.scheme() {
            "https" => Target::Https,
            "http" if is_loopback(&url) => Target::Loopback,
            "http" => return Err(invalid("plain http is for loopback")),
            scheme if ACTED_ON.contains(&scheme) => return Err(invalid("a browser acts on its scheme")),
            _ => Target::App,
        };
        if target != Target::App && !text.contains("://") {
            return Err(invalid("it is no absolute URI"));
        }
        if text.contains('*') {
            return Err(invalid("it has a wildcard"));
        }
        Ok(Self { text: text.into(), target })
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
            && Self::new(presented).is_ok_and(|presented| presented.without_port() == self.without_port())
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
    pub fn shown(&self) -> String {
        let Ok(url) = Url::parse(&self.text) else { return self.text.to_string() };
        match (self.target, url.host_str()) {
            (Target::App, _) | (_, None) => format!("{}:", url.scheme()),
            (_, Some(host)) => host.to_owned(),
        }
    }

    /// Scheme and host, and what follows the port.
    fn without_port(&self) -> Option<(&str, &str)> {
        let authority = self.text.find("://")? + 3;
        let end = self.text[authority..].find(['/', '?']).map_or(self.text.len(), |at| authority + at);
        let host_end = match self.text[authority..end].rfind(':') {
            // Not the colons of an IPv6 address.
            Some(at) if !self.text[authority + at..end].contains(']') => authority + at,
            _ => end,
        };
        Some((&self.text[..host_end], &self.text[end..]))
    }
}

/// `http` on the machine itself.
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
