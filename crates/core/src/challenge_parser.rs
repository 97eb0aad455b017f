//! The parser for the full grammar of RFC 9110, all of which servers use.

use crate::challenge::Challenge;

/// An error for a malformed `WWW-Authenticate` value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed challenge at byte {at}: expected {expected}")]
#[non_exhaustive]
pub struct ParseChallengeError {
    /// The position of the error, in bytes from the start.
    pub at: usize,
    /// The expected element.
    pub expected: &'static str,
}

impl Challenge {
    /// Parses the challenges of one `WWW-Authenticate` value, which may contain several.
    ///
    /// # Errors
    /// [`ParseChallengeError`] if it is not `1#challenge`, or a challenge repeats a parameter.
    pub fn parse(text: &str) -> Result<Vec<Self>, ParseChallengeError> {
        let mut input = Input { text, at: 0 };
        let mut challenges: Vec<Self> = Vec::new();
        input.skip_separators();
        while !input.is_done() {
            let challenge = input.challenge()?;
            challenges.push(challenge);
            input.skip_spaces();
            if !input.is_done() && !input.take(b',') {
                return Err(input.expected("a comma"));
            }
            input.skip_separators();
        }
        if challenges.is_empty() {
            return Err(input.expected("a scheme"));
        }
        Ok(challenges)
    }
}

struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Input<'a> {
    fn challenge(&mut self) -> Result<Challenge, ParseChallengeError> {
        let scheme = self.token("a scheme")?.to_owned();
        let mut challenge = Challenge { scheme, token68: None, params: Vec::new() };
        if self.skip_spaces() == 0 {
            return Ok(challenge);
        }
        if let Some(token) = self.token68() {
            challenge.token68 = Some(token.to_owned());
            return Ok(challenge);
        }
        loop {
            let before = self.at;
            let Some((name, value)) = self.param()? else {
                // The next challenge begins after the comma, so the comma is not consumed.
                self.at = before;
                return Ok(challenge);
            };
            if challenge.param(name).is_some() {
                self.at = before;
                return Err(self.expected("each parameter once"));
            }
            challenge.params.push((name.to_owned(), value));
            let end = self.at;
            self.skip_spaces();
            if !self.take(b',') {
                self.at = end;
                return Ok(challenge);
            }
            self.skip_separators();
            if !self.at_param() {
                self.at = end;
                return Ok(challenge);
            }
        }
    }

    /// Parses `name = value`; returns `None` at a token without a value.
    fn param(&mut self) -> Result<Option<(&'a str, String)>, ParseChallengeError> {
        if !self.at_param() {
            return Ok(None);
        }
        let name = self.token("a parameter")?;
        self.skip_spaces();
        if !self.take(b'=') {
            return Err(self.expected("="));
        }
        self.skip_spaces();
        let value = if self.take(b'"') { self.quoted()? } else { self.token("a value")?.to_owned() };
        Ok(Some((name, value)))
    }

    fn at_param(&self) -> bool {
        let mut ahead = Input { text: self.text, at: self.at };
        ahead.token("a parameter").is_ok() && {
            ahead.skip_spaces();
            ahead.take(b'=')
        }
    }

    fn token(&mut self, expected: &'static str) -> Result<&'a str, ParseChallengeError> {
        let rest = self.rest();
        let len = rest.bytes().take_while(|b| is_token_byte(*b)).count();
        if len == 0 {
            return Err(self.expected(expected));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// Parses a `token68` that extends to the end of its challenge; any other token is the name of a parameter or malformed.
    fn token68(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let is_body = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        let body = rest.bytes().take_while(|b| is_body(*b)).count();
        let len = body + rest[body..].bytes().take_while(|b| *b == b'=').count();
        let after = rest[len..].trim_start_matches([' ', '\t']);
        if body == 0 || !(after.is_empty() || after.starts_with(',')) {
            return None;
        }
        self.at += len;
        Some(&rest[..len])
    }

    fn quoted(&mut self) -> Result<String, ParseChallengeError> {
        let mut value = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += offset + 1;
                    return Ok(value);
                }
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                c => value.push(c),
            }
        }
        self.at = self.text.len();
        Err(self.expected("a closing quote"))
    }

    fn skip_spaces(&mut self) -> usize {
        let rest = self.rest();
        let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        self.at += spaces;
        spaces
    }

    /// Skips commas and spaces: lists may have empty elements.
    fn skip_separators(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', ',']).len();
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest().as_bytes().first() == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    const fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    const fn expected(&self, expected: &'static str) -> ParseChallengeError {
        ParseChallengeError { at: self.at, expected }
    }
}

/// Reports whether `b` is a `tchar` of RFC 9110 section 5.6.2.
const fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = (String, Vec<(String, String)>, Option<String>);

    fn parse(text: &str) -> Vec<Parts> {
        let challenges = Challenge::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        challenges.into_iter().map(|c| (c.scheme, c.params, c.token68)).collect()
    }

    fn params(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn valid_challenges_are_parsed() {
        let bearer = |list: &[(&str, &str)]| ("Bearer".to_owned(), params(list), None);
        assert_eq!(parse("Bearer"), [bearer(&[])]);
        assert_eq!(parse(r#"Bearer realm="a, b""#), [bearer(&[("realm", "a, b")])]);
        assert_eq!(
            parse(r#"Bearer error=invalid_token,scope="a b""#),
            [bearer(&[("error", "invalid_token"), ("scope", "a b")])]
        );
        assert_eq!(parse(r#", ,Bearer a = "\"x\\" ,, b=c,"#), [bearer(&[("a", "\"x\\"), ("b", "c")])]);
        assert_eq!(
            parse(r#"Negotiate YWJj==, Bearer a="1", Basic realm="x", DPoP"#),
            [
                ("Negotiate".to_owned(), vec![], Some("YWJj==".to_owned())),
                bearer(&[("a", "1")]),
                ("Basic".to_owned(), params(&[("realm", "x")]), None),
                ("DPoP".to_owned(), vec![], None),
            ]
        );
        assert_eq!(parse("Bearer, Basic").len(), 2);
        assert_eq!(parse(r#"Bearer resource_metadata="https://x/.well-known/oauth-protected-resource/mcp""#).len(), 1);
    }

    #[test]
    fn malformed_challenges_are_rejected() {
        for text in [
            "",
            " ",
            ",",
            "=",
            "Bearer a=\"",
            "Bearer a=\"x",
            "Bearer a=\"x\\",
            "Bearer a=1 b=2",
            "Bearer a=1, a=2",
            "Bearer a=1, A=2",
            "\"Bearer\"",
            "Bearer (x)",
            "Bearer a=\u{e9}",
        ] {
            assert!(Challenge::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hostile_value_can_neither_end_early_nor_split_the_header() {
        let written = Challenge::bearer().with("error_description", "a\", error=\"b\r\nX: y\\é").to_string();
        assert_eq!(written, "Bearer error_description=\"a?, error=?b??X: y??\"");
    }

    #[test]
    fn each_parameter_is_written_once() {
        let written = Challenge::bearer().with("scope", "a").with("Scope", "b").to_string();
        assert_eq!(written, r#"Bearer scope="b""#);
    }

    proptest! {
            #[test]
    fn a_written_challenge_is_parsed_back(list in proptest::collection::btree_map("[a-z][a-z_]{0,12}", "[ -~]{0,40}", 0..6)) {
                let challenge = list.iter().fold(Challenge::bearer(), |c, (name, value)| c.with(name, value));
                prop_assert_eq!(Challenge::parse(&challenge.to_string()), Ok(vec![challenge]));
            }

            #[test]
    fn a_parsed_challenge_is_written_unchanged(text in ".{0,80}") {
                if let Ok(challenges) = Challenge::parse(&text) {
                    let written: Vec<_> = challenges.iter().map(ToString::to_string).collect();
                    prop_assert_eq!(Challenge::parse(&written.join(", ")), Ok(challenges));
                }
            }

            #[test]
    fn every_challenge_is_a_header_value(name in "[a-z]{1,8}", value in ".{0,80}") {
                let value = Challenge::bearer().with(&name, &value).to_header_value();
                prop_assert!(value.to_str().is_ok_and(|text| text.contains('=')));
            }
        }
}
