//! [`ScopeSet`]: a set of OAuth scopes.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A set of scopes, in the order in which they were first written.
///
/// Scope names are case-sensitive ASCII without space, `"` and `\`.
/// [RFC 6749 section 3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3).
#[derive(Clone, Default, Debug)]
pub struct ScopeSet(Arc<[Box<str>]>);

/// An error for text that is not a scope name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a scope name: {0:?}")]
#[non_exhaustive]
pub struct InvalidScope(pub String);

impl ScopeSet {
    /// Creates a set from names, without repetitions.
    ///
    /// # Errors
    /// [`InvalidScope`] if a name is empty or has a character outside `%x21 / %x23-5B / %x5D-7E`.
    pub fn new<I: IntoIterator<Item: AsRef<str>>>(names: I) -> Result<Self, InvalidScope> {
        let mut scopes: Vec<Box<str>> = Vec::new();
        for name in names {
            let name = name.as_ref();
            if !is_scope_name(name) {
                return Err(InvalidScope(name.to_owned()));
            }
            if !scopes.iter().any(|scope| **scope == *name) {
                scopes.push(name.into());
            }
        }
        Ok(Self(scopes.into()))
    }

    /// Parses names that are separated by spaces, as in the claim `scope`.
    ///
    /// # Errors
    /// [`InvalidScope`] as for [`ScopeSet::new`].
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        Self::new(text.split(' ').filter(|name| !name.is_empty()))
    }

    /// Reports whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of scopes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Reports whether the set contains `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|scope| **scope == *name)
    }

    /// Reports whether the set contains every scope of `other`.
    #[must_use]
    pub fn is_superset(&self, other: &Self) -> bool {
        other.iter().all(|scope| self.contains(scope))
    }

    /// Returns the union with `other`, whose scopes come last.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if self.is_superset(other) {
            return self.clone();
        }
        let more = other.0.iter().filter(|scope| !self.contains(scope));
        Self(self.0.iter().chain(more).cloned().collect())
    }

    /// Returns the scopes that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|scope| other.contains(scope)).cloned().collect())
    }

    /// Returns an iterator over the names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

fn is_scope_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// Compares as sets: the order does not matter.
impl PartialEq for ScopeSet {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.is_superset(other)
    }
}

impl Eq for ScopeSet {}

/// Prints the names, separated by spaces.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

impl FromStr for ScopeSet {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Serializes as a list.
impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// Deserializes from a list, or from one string of names that are separated by spaces.
impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            List(Vec<String>),
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Self::parse(&text),
            Written::List(names) => Self::new(names),
        }
        .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> ScopeSet {
        ScopeSet::parse(text).expect(text)
    }

    #[test]
    fn keeps_order_and_drops_repetitions() {
        assert_eq!(scopes("b a  b").to_string(), "b a");
        assert_eq!(scopes("a b"), scopes("b a"));
        assert!(scopes("").is_empty());
    }

    #[test]
    fn compares_as_a_set() {
        assert!(scopes("a b c").is_superset(&scopes("c a")));
        assert!(!scopes("a").is_superset(&scopes("A")));
        assert_eq!(scopes("a b").union(&scopes("c b")).to_string(), "a b c");
    }

    #[test]
    fn characters_that_would_break_a_challenge_are_rejected() {
        for text in ["a\"b", "a\\b", "a\tb", "é", "a\u{7f}"] {
            assert!(ScopeSet::parse(text).is_err(), "{text:?}");
        }
        assert!(ScopeSet::new(["a b"]).is_err());
        assert!(ScopeSet::new([""]).is_err());
    }

    #[test]
    fn reads_both_forms() {
        let list: ScopeSet = serde_json::from_str(r#"["a","b"]"#).expect("list");
        let text: ScopeSet = serde_json::from_str(r#""a b""#).expect("text");
        assert_eq!(list, text);
        assert_eq!(serde_json::to_string(&list).expect("json"), r#"["a","b"]"#);
    }
}
