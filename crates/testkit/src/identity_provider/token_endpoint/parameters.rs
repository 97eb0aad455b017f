//! The parameters of a request: a form, or a JSON object.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use url::form_urlencoded;

use super::Refusal;

/// The parameters of a request; none comes twice.
pub(in super::super) type Parameters = BTreeMap<String, String>;

/// `application/x-www-form-urlencoded`, and nothing else.
pub(in super::super) fn form(request: &Request<Bytes>) -> Result<Parameters, Refusal> {
    if !has_type(request, "application/x-www-form-urlencoded") {
        return Err(Refusal::InvalidRequest(
            "only application/x-www-form-urlencoded content-type bodies are supported",
        ));
    }
    let mut parameters = Parameters::new();
    for (name, value) in form_urlencoded::parse(request.body()).into_owned() {
        if parameters.insert(name, value).is_some() {
            return Err(Refusal::InvalidRequest("parameters must not be provided twice"));
        }
    }
    Ok(parameters)
}

/// `application/json`, and nothing else.
pub(in super::super) fn json_object(request: &Request<Bytes>) -> Result<Parameters, Refusal> {
    const NOT_JSON: Refusal = Refusal::InvalidRequest("the body must be a JSON object of strings");
    if !has_type(request, "application/json") {
        return Err(NOT_JSON);
    }
    serde_json::from_slice(request.body()).map_err(|_| NOT_JSON)
}

pub(super) fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Refusal> {
    parameters.get(name).map(String::as_str).ok_or(Refusal::InvalidRequest("missing required parameter"))
}

fn has_type(request: &Request<Bytes>, expected: &str) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}
