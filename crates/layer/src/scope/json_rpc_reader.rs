//! [`Reader`]: the operations in the pieces of a JSON text.

use portcullis_oauth::strict_json::Piece;
use serde_json::Value;

use super::json_rpc::{CALL_TOOL, GET_PROMPT, InvalidJsonRpc, Operation, READ_RESOURCE};

/// How long a method, a name or a URI may be. Longer ones are not kept.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// Finds the operations in the pieces of a JSON text, and gives each to `each` when its message ends.
pub(super) struct Reader<F> {
    each: F,
    /// How many objects and arrays are open.
    depth: usize,
    /// The depth within a message: 1, or 2 in a batch.
    of_message: usize,
    message: Message,
    member: Member,
    param: Param,
}

/// The member of the message whose value comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Method,
    Params,
    Id,
    Other,
}

/// The member of its `params` whose value comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Param {
    Name,
    Uri,
    Other,
}

/// What has been read of a message.
#[derive(Default)]
struct Message {
    method: Option<Text>,
    id: Option<Value>,
    has_params: bool,
    name: Target,
    uri: Target,
}

/// What a method may be applied to.
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

    /// A value begins: of the message, of its params, or deeper inside, where nothing counts.
    fn value(&mut self, value: &Piece<'_>) -> Result<(), InvalidJsonRpc> {
        if self.depth < self.of_message {
            // What stands in the place of a message.
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

    /// Directly in the object that is the value of `params`.
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

    /// The message is read. Without a method it is a response.
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

/// The member `name` of a message, provided that no reader takes it for another.
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

/// Whether `name` differs from `looked_at` in case only.
fn is_lookalike(name: &str, looked_at: &str) -> bool {
    name != looked_at && equals_ignoring_case(name, looked_at)
}

/// As Unicode folds case: `ſ` (U+017F) is an `s`. `name` is in lower case.
fn equals_ignoring_case(key: &str, name: &str) -> bool {
    let folded = key.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.eq(name.chars())
}
