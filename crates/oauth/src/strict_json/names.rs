//! [`Names`]: which names the objects have that are open, in little memory.

use std::hash::{BuildHasher as _, RandomState};

/// Up to here the memory doubles; beyond, it is taken for all names of the text at once, so that it is never twice there.
const DOUBLES_UP_TO: usize = 4096;

/// A keyed hash of a name: seven bytes, because a member of an object with many members has hardly more than that, and what is
/// kept of a text is to be no larger than the text.
type Hash = [u8; 7];

/// The names of all objects that are open at once, as keyed hashes. The writer of a text cannot know which names collide, and
/// by chance two of half a million do so in one text of 500,000.
pub(super) struct Names {
    hashes: Vec<Hash>,
    hasher: RandomState,
    /// How many the text has, if it is JSON.
    in_text: usize,
}

impl Names {
    pub(super) fn of(text: &[u8]) -> Self {
        Self { hashes: Vec::new(), hasher: RandomState::new(), in_text: count(text) }
    }

    pub(super) const fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn push(&mut self, name: &str) {
        let len = self.hashes.len();
        if len == self.hashes.capacity() && len >= DOUBLES_UP_TO {
            self.hashes.reserve_exact(self.in_text.saturating_sub(len).max(1));
        }
        let [hash @ .., _] = self.hasher.hash_one(name).to_ne_bytes();
        self.hashes.push(hash);
    }

    /// Whether two of the names since the number `first` are the same. They are forgotten.
    pub(super) fn has_repeated_since(&mut self, first: usize) -> bool {
        let hashes = &mut self.hashes[first..];
        hashes.sort_unstable();
        let repeated = hashes.windows(2).any(|pair| pair[0] == pair[1]);
        self.hashes.truncate(first);
        repeated
    }
}

/// The colons outside of strings.
fn count(text: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_outside_of_strings() {
        for (text, names) in [(r#"{"a":1,"b:\":":{"c":":"}}"#, 3), ("[]", 0), (r#"{"\\":1}"#, 1)] {
            assert_eq!(count(text.as_bytes()), names, "{text}");
        }
    }

    #[test]
    fn a_name_counts_for_its_own_object_only() {
        let mut names = Names::of(b"");
        names.push("a");
        let inner = names.len();
        names.push("a");
        assert!(!names.has_repeated_since(inner));
        names.push("a");
        assert!(names.has_repeated_since(0));
        assert_eq!(names.len(), 0);
    }
}
