//! [`for_each_operation`]: the operations of a JSON-RPC body, parsed so that every other parser finds the same.

use portcullis_oauth::strict_json::{self, InvalidJson, Piece};
use serde_json::Value;

pub(super) const CALL_TOOL: &str = "tools/call";
pub(super) const GET_PROMPT: &str = "prompts/get";
pub(super) const READ_RESOURCE: &str = "resources/read";

/// An operation of a JSON-RPC body: a request or a notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    pub(super) method: String,
    pub(super) target: Option<String>,
    pub(super) id: Option<Value>,
}

impl Operation {
    /// Returns the method, such as `tools/call`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the target of the method: the name of the tool (`tools/call`) or prompt (`prompts/get`), or the URI of the
    /// resource (`resources/read`). `None` for every other method.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Returns the id, which a response has to repeat; `None` for a notification.
    pub(super) const fn id(&self) -> Option<&Value> {
        self.id.as_ref()
    }
}

/// An error for a body whose operations cannot be determined. It does not contain text of the body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJsonRpc {
    /// Not JSON in UTF-8, or JSON that parsers interpret differently.
    #[error(transparent)]
    Json(#[from] InvalidJson),
    /// Neither an object nor an array of objects.
    #[error("not a JSON-RPC message")]
    Message,
    /// A `method` that is not a string.
    #[error("the method is not a string")]
    Method,
    /// The target of the method is missing or is not a string. JSON-RPC also allows an array as `params`; MCP does not, and a parser
    /// that accepts both would find the name of a tool in it.
    #[error("the params do not name the target of the method")]
    Target,
    /// A method or its target is longer than 64 KiB.
    #[error("the {0} is longer than {MAX_TEXT} bytes")]
    TooLong(&'static str),
    /// A member differs from one of the protocol only in case: some parsers ignore the case.
    #[error("the name of a member differs from {0:?} only in case")]
    Lookalike(&'static str),
}

/// Calls `each` for each operation of `body`, a JSON-RPC message or a batch, in the order written.
///
/// Every object with a `method` is an operation, with or without `id`, because a server may call a tool for a notification. Responses
/// are not operations, and an empty body has none. Only JSON that every parser interprets in the same way is accepted: no member is
/// repeated, at any depth, and none differs only in case from a member that is evaluated here (parsers that ignore case, such as Go's,
/// would accept either).
///
/// The body is parsed as a stream and no tree is built: this takes about as much memory as [`strict_json::walk`]. An error may be found
/// after operations have been reported, so `each` must not act on them before this function has returned.
///
/// It does **not** check `jsonrpc`, `id`, or that the method exists.
/// [JSON-RPC 2.0 section 4](https://www.jsonrpc.org/specification#request_object).
///
/// # Errors
/// [`InvalidJsonRpc`] if the operations of the body cannot be determined with certainty.
pub fn for_each_operation(body: &[u8], each: impl FnMut(Operation)) -> Result<(), InvalidJsonRpc> {
    if body.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(each);
    strict_json::walk(body, |piece| reader.read(&piece))
}

/// Returns all operations of `body`, as [`for_each_operation`] reports them. For a batch of many small requests the list is many times
/// the size of the body.
///
/// ```
/// use portcullis_layer::scope::operations;
///
/// let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"\u0065cho"}}"#;
/// let asked = operations(call)?;
/// assert_eq!((asked[0].method(), asked[0].target()), ("tools/call", Some("echo")));
///
/// assert!(operations(br#"{"method":"ping","method":"tools/call"}"#).is_err());
/// # Ok::<(), portcullis_layer::scope::InvalidJsonRpc>(())
/// ```
///
/// # Errors
/// [`InvalidJsonRpc`] if the operations of the body cannot be determined with certainty.
pub fn operations(body: &[u8]) -> Result<Vec<Operation>, InvalidJsonRpc> {
    let mut operations = Vec::new();
    for_each_operation(body, |operation| operations.push(operation))?;
    Ok(operations)
}

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
