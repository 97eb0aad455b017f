//! [`Challenge`]: the `WWW-Authenticate` header, written and parsed.

use std::fmt;

use http::HeaderValue;

/// One challenge of a `WWW-Authenticate` header: a scheme with parameters, or with a `token68`.
///
/// It is written by [`Display`](std::fmt::Display) and [`Challenge::to_header_value`], and read by [`Challenge::parse`].
/// [RFC 9110 section 11.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1),
/// [RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3),
/// [RFC 9728 section 5.1](https://www.rfc-editor.org/rfc/rfc9728#section-5.1).
///
/// ```
/// use portcullis_core::Challenge;
///
/// let written = Challenge::bearer().with("error", "invalid_token").with("scope", "a b").to_string();
/// assert_eq!(written, r#"Bearer error="invalid_token", scope="a b""#);
///
/// let parsed = Challenge::parse(&written).unwrap();
/// assert_eq!(parsed[0].param("SCOPE"), Some("a b"));
/// assert!(Challenge::parse("Bearer error=\"").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    pub(crate) scheme: String,
    pub(crate) token68: Option<String>,
    pub(crate) params: Vec<(String, String)>,
}

impl Challenge {
    /// Creates a challenge of the scheme `Bearer` without parameters.
    #[must_use]
    pub fn bearer() -> Self {
        Self { scheme: "Bearer".to_owned(), token68: None, params: Vec::new() }
    }

    /// Sets the parameter `name`. A second value for a name replaces the first: each is written once.
    ///
    /// Characters that RFC 6750 does not allow in a parameter (`"`, `\`, controls, non-ASCII) are replaced by `?`, so that a value can
    /// neither end early nor split the header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let value = value.chars().map(|c| if is_plain(c) { c } else { '?' }).collect();
        match self.params.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => self.params.push((name.to_owned(), value)),
        }
        self
    }

    /// Returns the scheme, as written. Compare it without regard to case, or call [`is_bearer`](Self::is_bearer).
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Reports whether the scheme is `Bearer`.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Bearer")
    }

    /// Returns the value of a parameter; the case of its name is ignored.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter();
        params.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns all parameters in the order written.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the `token68` that schemes such as `Negotiate` have in place of parameters.
    #[must_use]
    pub fn token68(&self) -> Option<&str> {
        self.token68.as_deref()
    }
}

/// Reports whether `c` is in `%x20-21 / %x23-5B / %x5D-7E`: the characters of `error_description`, which include those of every
/// other parameter.
const fn is_plain(c: char) -> bool {
    matches!(c, ' ' | '!' | '#'..='[' | ']'..='~')
}

impl Challenge {
    /// Returns the challenge as the value of a `WWW-Authenticate` header.
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

/// Prints the scheme, then the quoted parameters, separated by commas.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        if let Some(token) = &self.token68 {
            write!(f, " {token}")?;
        }
        for (at, (name, value)) in self.params.iter().enumerate() {
            f.write_str(if at == 0 { " " } else { ", " })?;
            write!(f, "{name}=\"")?;
            for c in value.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        Ok(())
    }
}
