//! [`parse`]: strict JSON as a tree.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The prefix of member names by which `serde_json` passes values to itself if another crate of the build enables its features
/// (`arbitrary_precision`, `raw_value`). In untrusted text they would convert an object to another value.
pub(super) const PRIVATE: &str = "$serde_json::private::";
pub(super) const PRIVATE_NUMBER: &str = "$serde_json::private::Number";

/// The maximum number of values in a tree. In memory a value may take a hundred times its text, so that a text of 1 MiB would take
/// 126 MiB; this number takes 11 MiB. Documents of authorization servers and clients have hundreds of values.
const MAX_VALUES: usize = 16_384;

/// An error for text that is not strict JSON. It contains the position, never the text.
#[derive(Debug, thiserror::Error)]
#[error("not strict JSON: {0}")]
pub struct InvalidJson(pub(super) serde_json::Error);

/// Parses a value.
///
/// ```
/// use portcullis_oauth::strict_json;
///
/// assert!(strict_json::parse(br#"[{"a":1},{"a":2}]"#).is_ok());
/// assert!(strict_json::parse(br#"[{"a":1,"\u0061":2}]"#).is_err());
/// ```
///
/// # Errors
/// [`InvalidJson`] if it is not JSON in UTF-8, repeats a member of an object at any depth, nests deeper than 128, has more than
/// 16,384 values, or has text after the value.
pub fn parse(text: &[u8]) -> Result<Value, InvalidJson> {
    refuse_private_names(text)?;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let room = Cell::new(MAX_VALUES);
    let value = Strict { room: &room }.deserialize(&mut deserializer).map_err(InvalidJson)?;
    deserializer.end().map_err(InvalidJson)?;
    Ok(value)
}

/// Parses an object and returns its members.
///
/// # Errors
/// [`InvalidJson`] as for [`parse`], and if it is not an object.
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, InvalidJson> {
    match parse(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(InvalidJson(serde_json::Error::custom("not an object"))),
    }
}

/// Rejects private names that are written without escapes.
pub(super) fn refuse_private_names(text: &[u8]) -> Result<(), InvalidJson> {
    if text.windows(PRIVATE.len()).any(|window| window == PRIVATE.as_bytes()) {
        return Err(InvalidJson(serde_json::Error::custom("a reserved member name")));
    }
    Ok(())
}

/// Deserializes a tree with a limited number of values.
#[derive(Clone, Copy)]
struct Strict<'a> {
    room: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let room = self.room.get().checked_sub(1).ok_or_else(|| D::Error::custom("more than 16384 values"))?;
        self.room.set(room);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = array.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key_seed(Name)? {
            if name == PRIVATE_NUMBER {
                // A number in the form of `arbitrary_precision`: `Name` rejects this name in the text.
                let number: Number = object.next_value::<String>()?.parse().map_err(A::Error::custom)?;
                return Ok(number.into());
            }
            if members.contains_key(&name) {
                return Err(A::Error::custom("a repeated member"));
            }
            members.insert(name, object.next_value_seed(self)?);
        }
        Ok(members.into())
    }
}

/// The name of a member. A name with escapes is passed to `visit_str`, one of `serde_json` itself to
/// `visit_borrowed_str`; one without escapes has been checked by [`parse`].
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<String, E> {
        Ok(name.to_owned())
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
        if name.starts_with(PRIVATE) {
            return Err(E::custom("a reserved member name"));
        }
        Ok(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_is_plain_json() {
        let text = br#" {"a":[1,-2,1.5,true,false,null,"x\n"],"b":{"a":{}}} "#;
        assert_eq!(parse(text).expect("JSON"), json!({"a":[1,-2,1.5,true,false,null,"x\n"],"b":{"a":{}}}));
        assert_eq!(parse(b"18446744073709551615").expect("JSON"), json!(u64::MAX));
    }

    #[test]
    fn repeated_members_are_refused_at_every_depth_and_however_written() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"b":2,"a":3}]}"#, r#"{"a":1,"\u0061":2}"#, r#"{"":1,"":2}"#] {
            let error = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains("repeated"), "{error}");
        }
        assert!(parse(r#"[{"a":1},{"a":1}]"#.as_bytes()).is_ok());
    }

    #[test]
    fn what_follows_or_is_not_json_is_refused() {
        for text in ["", "{", "{}{}", "{} x", "{'a':1}", "{\"a\":1,}", "\u{feff}{}", "NaN", "01", "{\"a\":\"\\ud800\"}"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_nesting_bomb_is_an_error_and_not_a_stack_overflow() {
        for opening in ["[", "{\"a\":"] {
            assert!(parse(opening.repeat(100_000).as_bytes()).is_err());
        }
        assert!(parse(format!("{}{}", "[".repeat(100), "]".repeat(100)).as_bytes()).is_ok());
    }

    #[test]
    fn a_tree_of_more_values_than_any_document_has_is_refused() {
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
        assert!(parse(list(MAX_VALUES).as_bytes()).is_ok());
        let error = parse(list(MAX_VALUES + 1).as_bytes()).expect_err("too many").to_string();
        assert!(error.contains("16384 values"), "{error}");
    }

    #[test]
    fn an_object_is_an_object() {
        assert!(parse_object(b"{}").is_ok());
        for text in ["[]", "1", "\"x\"", "null"] {
            assert!(parse_object(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn private_names_of_the_parser_are_refused_however_written() {
        for name in
            ["$serde_json::private::Number", "$serde_json::private::RawValue", "\\u0024serde_json::private::Number"]
        {
            assert!(parse(format!(r#"{{"exp":{{"{name}":"9"}}}}"#).as_bytes()).is_err(), "{name}");
        }
    }
}
