//! [`for_each_operation`]: what a JSON-RPC body asks for, read so that no other reader can find something else in it.

use portcullis_oauth::strict_json::{self, InvalidJson};
use serde_json::Value;

use super::json_rpc_reader::{MAX_TEXT, Reader};

pub(super) const CALL_TOOL: &str = "tools/call";
pub(super) const GET_PROMPT: &str = "prompts/get";
pub(super) const READ_RESOURCE: &str = "resources/read";

/// One thing that a JSON-RPC body asks for: a request or a notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    pub(super) method: String,
    pub(super) target: Option<String>,
    pub(super) id: Option<Value>,
}

impl Operation {
    /// The method, such as `tools/call`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// What the method is applied to: the name of the tool (`tools/call`) or prompt (`prompts/get`), or the URI of the
    /// resource (`resources/read`). `None` for every other method.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// What a response to it has to repeat; `None` for a notification.
    pub(super) const fn id(&self) -> Option<&Value> {
        self.id.as_ref()
    }
}

/// Why a body cannot be judged: what is wrong, never what it says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJsonRpc {
    /// Not JSON in UTF-8, or JSON that two readers may understand differently.
    #[error(transparent)]
    Json(#[from] InvalidJson),
    /// Neither an object nor an array of objects.
    #[error("not a JSON-RPC message")]
    Message,
    /// A `method` that is not a string.
    #[error("the method is not a string")]
    Method,
    /// No string where the method needs to know what it is applied to. JSON-RPC has `params` as an array, too; MCP does not,
    /// and a reader that takes both would find the name of a tool there.
    #[error("the params do not name what the method is applied to")]
    Target,
    /// A method, or a name or URI that it is applied to, that is longer than 64 KiB.
    #[error("the {0} is longer than {MAX_TEXT} bytes")]
    TooLong(&'static str),
    /// A member that differs from one of the protocol's only in case: some readers take one for the other.
    #[error("a member that looks like {0:?}")]
    Lookalike(&'static str),
}

/// Shows `each` what `body`, one JSON-RPC message or a batch of them, asks for, in the order written.
///
/// Every object with a `method` counts, with or without `id`: whether a server calls a tool for a notification is for the
/// server to decide. Responses ask for nothing, nor does an empty body. It accepts only what every reader of JSON
/// understands in the same way, so no member is repeated, at any depth, and none differs from a member looked at here only
/// in case (readers that ignore case, such as Go's, would take either).
///
/// The body is read piece by piece and no tree is made of it: however it is written, that takes about as much memory as
/// [`strict_json::walk`] does. What is wrong may be found only after operations have been shown, so `each` must not act on
/// them before this has returned.
///
/// It does **not** check `jsonrpc`, `id`, or that the method exists.
/// [JSON-RPC 2.0 section 4](https://www.jsonrpc.org/specification#request_object).
///
/// # Errors
/// [`InvalidJsonRpc`] if it cannot be told with certainty what the body asks for.
pub fn for_each_operation(body: &[u8], each: impl FnMut(Operation)) -> Result<(), InvalidJsonRpc> {
    if body.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(each);
    strict_json::walk(body, |piece| reader.read(&piece))
}

/// All that `body` asks for, as [`for_each_operation`] shows it. Of a batch of many small requests it is a list many times the
/// size of the body.
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
/// [`InvalidJsonRpc`] if it cannot be told with certainty what the body asks for.
pub fn operations(body: &[u8]) -> Result<Vec<Operation>, InvalidJsonRpc> {
    let mut operations = Vec::new();
    for_each_operation(body, |operation| operations.push(operation))?;
    Ok(operations)
}
