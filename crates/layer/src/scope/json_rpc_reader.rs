//! [`Reader`]: finds the operations in a stream of JSON pieces.

use portcullis_oauth::strict_json::Piece;
use serde_json::Value;

use super::json_rpc::{CALL_TOOL, GET_PROMPT, InvalidJsonRpc, Operation, READ_RESOURCE};

/// The maximum length of a method, a name or a URI. Longer ones are not stored.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// Finds the operations in a stream of JSON pieces, and calls `each` when a message ends.
pub(super) struct Reader<F> {
    each: F,
    /// The number of open objects and arrays.
    depth: usize,
    /// The depth within a message: 1, or 2 in a batch.
    of_message: usize,
    message: Message,
    member: Member,
    param: Param,
}

/// The member of the message whose value is next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Method,
    Params,
    Id,
    Other,
}

/// The member of `params` whose value is next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Param {
    Name,
    Uri,
    Other,
}

/// The parsed part of a message.
#[derive(Default)]
struct Message {
    method: Option<Text>,
    id: Option<Value>,
    has_params: bool,
    name: Target,
    uri: Target,
}

/// A possible target of a method.
#[derive(Default)]
struct Target {
    text: Option<Text>,
    has_lookalike: bool,
}

enum Text {
    Read(String),
    TooLong,
}

impl Text {
    fn of(text: &str) -> Self {
        if text.len() > MAX_TEXT { Self::TooLong } else { Self::Read(text.to_owned()) }
    }

    fn read(self, what: &'static str) -> Result<String, InvalidJsonRpc> {
        match self {
            Self::Read(text) => Ok(text),
            Self::TooLong => Err(InvalidJsonRpc::TooLong(what)),
        }
    }
}

impl<F: FnMut(Operation)> Reader<F> {
    pub(super) fn new(each: F) -> Self {
        Self { each, depth: 0, of_message: 1, message: Message::default(), member: Member::Other, param: Param::Other }
    }

    pub(super) fn read(&mut self, piece: &Piece<'_>) -> Result<(), InvalidJsonRpc> {
        match piece {
            Piece::BeginArray if self.depth == 0 => {
                self.of_message = 2;
                self.depth = 1;
            }
            Piece::BeginObject if self.depth + 1 == self.of_message => {
                self.message = Message::default();
                self.depth += 1;
            }
            Piece::BeginArray | Piece::BeginObject => {
                self.value(piece)?;
                self.depth += 1;
            }
            Piece::EndArray => self.depth -= 1,
            Piece::EndObject => {
                self.depth -= 1;
                if self.depth + 1 == self.of_message {
                    self.finish()?;
                }
            }
            Piece::Name(name) if self.depth == self.of_message => self.member = member(name)?,
            Piece::Name(name) if self.is_in_params() => self.note_param(name),
            Piece::Text(_) | Piece::Number(_) | Piece::Literal => self.value(piece)?,
            _ => {}
        }
        Ok(())
    }

    /// Processes the begin of a value: of the message, of its params, or deeper, where values are ignored.
    fn value(&mut self, value: &Piece<'_>) -> Result<(), InvalidJsonRpc> {
        if self.depth < self.of_message {
            // A value in the place of a message.
            return Err(InvalidJsonRpc::Message);
        }
        if self.depth == self.of_message {
            match (self.member, value) {
                (Member::Method, Piece::Text(method)) => self.message.method = Some(Text::of(method)),
                (Member::Method, _) => return Err(InvalidJsonRpc::Method),
                (Member::Params, Piece::BeginObject) => self.message.has_params = true,
                (Member::Id, Piece::Text(id)) if id.len() <= MAX_TEXT => self.message.id = Some((*id).into()),
                (Member::Id, Piece::Number(id)) => self.message.id = Some(id.clone().into()),
                _ => {}
            }
        } else if self.is_in_params()
            && let Piece::Text(text) = value
        {
            match self.param {
                Param::Name => self.message.name.text = Some(Text::of(text)),
                Param::Uri => self.message.uri.text = Some(Text::of(text)),
                Param::Other => {}
            }
        }
        Ok(())
    }

    /// Reports whether the position is directly in the object `params`.
    fn is_in_params(&self) -> bool {
        self.depth == self.of_message + 1 && self.member == Member::Params && self.message.has_params
    }

    fn note_param(&mut self, name: &str) {
        self.param = match name {
            "name" => Param::Name,
            "uri" => Param::Uri,
            _ => Param::Other,
        };
        self.message.name.has_lookalike |= is_lookalike(name, "name");
        self.message.uri.has_lookalike |= is_lookalike(name, "uri");
    }

    /// Reports the operation of a complete message. A message without a method is a response.
    fn finish(&mut self) -> Result<(), InvalidJsonRpc> {
        let Message { method, id, name, uri, .. } = std::mem::take(&mut self.message);
        let Some(method) = method else { return Ok(()) };
        let method = method.read("method")?;
        let target = match &*method {
            CALL_TOOL | GET_PROMPT => Some(name.required("name")?),
            READ_RESOURCE => Some(uri.required("uri")?),
            _ => None,
        };
        (self.each)(Operation { method, target, id });
        Ok(())
    }
}

impl Target {
    fn required(self, what: &'static str) -> Result<String, InvalidJsonRpc> {
        if self.has_lookalike {
            return Err(InvalidJsonRpc::Lookalike(what));
        }
        self.text.ok_or(InvalidJsonRpc::Target)?.read(what)
    }
}

/// Returns the member `name` of a message, or an error if a parser that ignores case finds another member.
fn member(name: &str) -> Result<Member, InvalidJsonRpc> {
    for looked_at in ["method", "params"] {
        if is_lookalike(name, looked_at) {
            return Err(InvalidJsonRpc::Lookalike(looked_at));
        }
    }
    Ok(match name {
        "method" => Member::Method,
        "params" => Member::Params,
        "id" => Member::Id,
        _ => Member::Other,
    })
}

/// Reports whether `name` differs from `looked_at` only in case.
fn is_lookalike(name: &str, looked_at: &str) -> bool {
    name != looked_at && equals_ignoring_case(name, looked_at)
}

/// Compares by Unicode case folding: `ſ` (U+017F) equals `s`. `name` is in lower case.
fn equals_ignoring_case(key: &str, name: &str) -> bool {
    let folded = key.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.eq(name.chars())
}
