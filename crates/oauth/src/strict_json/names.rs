//! [`Names`]: the member names of all open objects, in little memory.

use std::hash::{BuildHasher as _, RandomState};

/// The capacity up to which the memory doubles. Beyond it, memory for all names of the text is reserved at once, so that it is never
/// copied.
const DOUBLES_UP_TO: usize = 4096;

/// The minimum length of a member whose name is unique in its object: `"abc":0,`.
const MEMBER: usize = 8;

/// A bound for the number of shorter members: there are 11,041 names of at most two bytes, and a limited number of levels.
const SHORT_NAMES: usize = 13_000;

/// A keyed hash of a name. It has seven bytes, because a member has at least eight, and the hashes must not be larger than the text.
type Hash = [u8; 7];

/// The member names of all open objects, as keyed hashes. An attacker cannot find names that collide, and by chance two of half a
/// million names collide in one of 500,000 texts.
pub(super) struct Names {
    hashes: Vec<Hash>,
    hasher: RandomState,
    /// The maximum number of names in the text, if it is JSON and no name is repeated.
    in_text: usize,
}

impl Names {
    pub(super) fn of(text: &[u8]) -> Self {
        let in_text = count(text).min(text.len() / MEMBER + SHORT_NAMES);
        Self { hashes: Vec::new(), hasher: RandomState::new(), in_text }
    }

    pub(super) const fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Adds `name`. Returns `false` if there are more names than the text can have without a repetition.
    #[must_use]
    pub(super) fn push(&mut self, name: &str) -> bool {
        let len = self.hashes.len();
        if len >= self.in_text {
            return false;
        }
        if len == self.hashes.capacity() && len >= DOUBLES_UP_TO {
            self.hashes.reserve_exact(self.in_text - len);
        }
        let [hash @ .., _] = self.hasher.hash_one(name).to_ne_bytes();
        self.hashes.push(hash);
        true
    }

    /// Reports whether two of the names since the index `first` are equal, and removes these names.
    pub(super) fn has_repeated_since(&mut self, first: usize) -> bool {
        let hashes = &mut self.hashes[first..];
        hashes.sort_unstable();
        let repeated = hashes.windows(2).any(|pair| pair[0] == pair[1]);
        self.hashes.truncate(first);
        repeated
    }
}

/// Counts the colons outside of strings.
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
    fn a_text_has_no_more_names_than_different_ones_find_room_in_it() {
        let text = r#""":0,"#.repeat(100_000);
        let mut names = Names::of(text.as_bytes());
        let kept = (0..100_000).take_while(|_| names.push("")).count();
        assert_eq!(kept, text.len() / MEMBER + SHORT_NAMES);
    }

    #[test]
    fn a_name_counts_for_its_own_object_only() {
        let mut names = Names::of(br#"{"a":{"a":0},"a":0}"#);
        assert!(names.push("a"));
        let inner = names.len();
        assert!(names.push("a"));
        assert!(!names.has_repeated_since(inner));
        assert!(names.push("a"));
        assert!(names.has_repeated_since(0));
        assert_eq!(names.len(), 0);
    }
}
