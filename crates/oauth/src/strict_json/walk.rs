//! [`walk`]: a streaming parser for strict JSON.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{
    names::Names,
    tree::{InvalidJson, PRIVATE, PRIVATE_NUMBER, refuse_private_names},
};

/// A piece of a JSON text, in the order written.
#[derive(Debug)]
#[non_exhaustive]
pub enum Piece<'a> {
    /// `{`
    BeginObject,
    /// `}`
    EndObject,
    /// `[`
    BeginArray,
    /// `]`
    EndArray,
    /// The name of a member; its value follows.
    Name(&'a str),
    /// A string.
    Text(&'a str),
    /// A number.
    Number(Number),
    /// `true`, `false` or `null`.
    Literal,
}

/// Calls `visit` for each piece of `text`, which is checked as by [`parse`](super::parse). An error ends the walk.
///
/// An error may be found after pieces have been visited, so they are valid only after this function has returned. In addition to the
/// text it needs memory for the longest string with escapes, and seven bytes for each name of the open objects: less than the size of
/// the text in total, whatever its content. Names are compared by keyed hashes, which may collide by chance.
///
/// # Errors
/// [`InvalidJson`] as for [`parse`](super::parse), and what `visit` returns.
pub fn walk<E, F>(text: &[u8], visit: F) -> Result<(), E>
where
    E: From<InvalidJson>,
    F: FnMut(Piece<'_>) -> Result<(), E>,
{
    refuse_private_names(text)?;
    let mut walker = Walker { visit, stopped: None, names: Names::of(text) };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let walked = walker.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match (walker.stopped, walked) {
        (Some(error), _) => Err(error),
        (None, walked) => Ok(walked.map_err(InvalidJson)?),
    }
}

struct Walker<F, E> {
    visit: F,
    /// The error of `visit`.
    stopped: Option<E>,
    names: Names,
}

impl<E, F: FnMut(Piece<'_>) -> Result<(), E>> Walker<F, E> {
    fn show<D: serde::de::Error>(&mut self, piece: Piece<'_>) -> Result<(), D> {
        (self.visit)(piece).map_err(|error| {
            self.stopped = Some(error);
            D::custom("ended by the visitor")
        })
    }
}

impl<'de, E, F: FnMut(Piece<'_>) -> Result<(), E>> DeserializeSeed<'de> for &mut Walker<F, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, E, F: FnMut(Piece<'_>) -> Result<(), E>> Visitor<'de> for &mut Walker<F, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<D: serde::de::Error>(self) -> Result<(), D> {
        self.show(Piece::Literal)
    }

    fn visit_bool<D: serde::de::Error>(self, _: bool) -> Result<(), D> {
        self.show(Piece::Literal)
    }

    fn visit_u64<D: serde::de::Error>(self, value: u64) -> Result<(), D> {
        self.show(Piece::Number(value.into()))
    }

    fn visit_i64<D: serde::de::Error>(self, value: i64) -> Result<(), D> {
        self.show(Piece::Number(value.into()))
    }

    fn visit_f64<D: serde::de::Error>(self, value: f64) -> Result<(), D> {
        let number = Number::from_f64(value).ok_or_else(|| D::custom("a number that is not finite"))?;
        self.show(Piece::Number(number))
    }

    fn visit_str<D: serde::de::Error>(self, value: &str) -> Result<(), D> {
        self.show(Piece::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        self.show(Piece::BeginArray)?;
        while array.next_element_seed(&mut *self)?.is_some() {}
        self.show(Piece::EndArray)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let first = self.names.len();
        let mut is_begun = false;
        while let Some(name) = object.next_key_seed(Name { walker: &mut *self, is_begun })? {
            if matches!(name, Named::Number) {
                // A number in the form of `arbitrary_precision`: the text cannot have this name.
                let number: Number = object.next_value::<String>()?.parse().map_err(A::Error::custom)?;
                return self.show(Piece::Number(number));
            }
            is_begun = true;
            object.next_value_seed(&mut *self)?;
        }
        if !is_begun {
            self.show(Piece::BeginObject)?;
        }
        if self.names.has_repeated_since(first) {
            return Err(A::Error::custom("a repeated member"));
        }
        self.show(Piece::EndObject)
    }
}

/// The name of a member, which is visited, and stored until its object ends.
struct Name<'a, F, E> {
    walker: &'a mut Walker<F, E>,
    is_begun: bool,
}

/// The meaning of a name.
enum Named {
    Member,
    /// A number in the form of `arbitrary_precision`.
    Number,
}

impl<E, F: FnMut(Piece<'_>) -> Result<(), E>> Name<'_, F, E> {
    fn member<D: serde::de::Error>(self, name: &str) -> Result<Named, D> {
        if !self.is_begun {
            self.walker.show(Piece::BeginObject)?;
        }
        if !self.walker.names.push(name) {
            return Err(D::custom("a repeated member"));
        }
        self.walker.show(Piece::Name(name))?;
        Ok(Named::Member)
    }
}

impl<'de, E, F: FnMut(Piece<'_>) -> Result<(), E>> DeserializeSeed<'de> for Name<'_, F, E> {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Named, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, E, F: FnMut(Piece<'_>) -> Result<(), E>> Visitor<'de> for Name<'_, F, E> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    /// Processes a name without escapes. The text has been checked for private names, so such a name is from `serde_json` itself.
    fn visit_borrowed_str<D: serde::de::Error>(self, name: &'de str) -> Result<Named, D> {
        if name == PRIVATE_NUMBER { Ok(Named::Number) } else { self.member(name) }
    }

    fn visit_str<D: serde::de::Error>(self, name: &str) -> Result<Named, D> {
        if name.starts_with(PRIVATE) {
            return Err(D::custom("a reserved member name"));
        }
        self.member(name)
    }
}
