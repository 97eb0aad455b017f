//! [`operations`]: what a JSON-RPC body asks for, read so that no other reader can find something else in it.

use portcullis_oauth::strict_json::{self, InvalidJson};
use serde_json::{Map, Value};

pub(super) const CALL_TOOL: &str = "tools/call";
pub(super) const GET_PROMPT: &str = "prompts/get";
const READ_RESOURCE: &str = "resources/read";

/// One thing that a JSON-RPC body asks for: a request or a notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    method: String,
    target: Option<String>,
    id: Option<Value>,
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
    /// A member that differs from one of the protocol's only in case: some readers take one for the other.
    #[error("a member that looks like {0:?}")]
    Lookalike(&'static str),
}

/// What `body`, one JSON-RPC message or a batch of them, asks for, in the order written.
///
/// Every object with a `method` counts, with or without `id`: whether a server calls a tool for a notification is for the
/// server to decide. Responses ask for nothing, nor does an empty body. It accepts only what every reader of JSON
/// understands in the same way, so no member is repeated, at any depth, and none differs from a member looked at here only
/// in case (readers that ignore case, such as Go's, would take either).
///
/// It does **not** check `jsonrpc`, `id`, or that the method exists.
/// [JSON-RPC 2.0 section 4](https://www.jsonrpc.org/specification#request_object).
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
    if body.is_empty() {
        return Ok(Vec::new());
    }
    match strict_json::parse(body)? {
        Value::Array(messages) => messages.iter().filter_map(|message| operation(message).transpose()).collect(),
        message => Ok(operation(&message)?.into_iter().collect()),
    }
}

/// What one message asks for; `None` for a response.
fn operation(message: &Value) -> Result<Option<Operation>, InvalidJsonRpc> {
    let message = message.as_object().ok_or(InvalidJsonRpc::Message)?;
    let params = member(message, "params")?.and_then(Value::as_object);
    let Some(method) = member(message, "method")? else { return Ok(None) };
    let method = method.as_str().ok_or(InvalidJsonRpc::Method)?;
    let target = match method {
        CALL_TOOL | GET_PROMPT => Some(text(params, "name")?),
        READ_RESOURCE => Some(text(params, "uri")?),
        _ => None,
    };
    let id = message.get("id").filter(|id| id.is_string() || id.is_number()).cloned();
    Ok(Some(Operation { method: method.to_owned(), target: target.map(ToOwned::to_owned), id }))
}

fn text<'a>(params: Option<&'a Map<String, Value>>, name: &'static str) -> Result<&'a str, InvalidJsonRpc> {
    let params = params.ok_or(InvalidJsonRpc::Target)?;
    member(params, name)?.and_then(Value::as_str).ok_or(InvalidJsonRpc::Target)
}

/// The member `name`, provided that no other could be taken for it.
fn member<'a>(object: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a Value>, InvalidJsonRpc> {
    if object.keys().any(|key| key != name && equals_ignoring_case(key, name)) {
        return Err(InvalidJsonRpc::Lookalike(name));
    }
    Ok(object.get(name))
}

/// As Unicode folds case: `ſ` (U+017F) is an `s`. `name` is in lower case.
fn equals_ignoring_case(key: &str, name: &str) -> bool {
    let folded = key.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.eq(name.chars())
}
