//! [`for_each_operation`]: the operations of a JSON-RPC body, parsed so that every other parser finds the same.

use portcullis_oauth::strict_json::{self, InvalidJson};
use serde_json::Value;

use super::json_rpc_reader::{MAX_TEXT, Reader};

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
