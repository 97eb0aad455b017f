//! [`Rule`]: the decisions of [`ToolScopes`](crate::scope::ToolScopes), none of which waits, and its checks of the headers.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body::Body;
use portcullis_core::{AuthError, Reason, ScopeSet, UserContext};

use super::OperationPolicy;
use crate::{
    rejection::Rejection,
    scope::{Operation, ScopeHierarchy, for_each_operation},
    session::is_modern,
};

/// The state that all requests through one layer share.
#[derive(Debug)]
pub(super) struct Rule {
    /// `None` if no operation needs scopes.
    policy: Option<OperationPolicy>,
    hierarchy: ScopeHierarchy,
    body_limit: usize,
}

/// The decision about a request before its body is read.
#[derive(Debug)]
pub(super) enum Admission {
    /// The request passes unchanged.
    Pass,
    /// The body is read up to a limit, and checked against the scopes of this user.
    ReadBody(Arc<UserContext>, usize),
}

impl Rule {
    pub(super) fn new(policy: OperationPolicy, hierarchy: ScopeHierarchy, body_limit: usize) -> Self {
        Self { policy: Some(policy).filter(|policy| !policy.is_empty()), hierarchy, body_limit }
    }

    /// Decides about a new request.
    pub(super) fn classify<B: Body>(&self, request: &Request<B>) -> Result<Admission, Rejection> {
        if self.policy.is_none() {
            return Ok(Admission::Pass);
        }
        if request.body().is_end_stream() {
            check_mirrored_headers(request.headers(), None)?;
            return Ok(Admission::Pass);
        }
        let user = request.extensions().get::<Arc<UserContext>>().ok_or(Rejection::MissingUser)?;
        if !is_plain_utf8(request.headers()) {
            return Err(unreadable("the body has a content encoding or a charset other than UTF-8").into());
        }
        Ok(Admission::ReadBody(Arc::clone(user), self.body_limit))
    }

    /// Checks that `user` has the scopes for all operations of `body`.
    pub(super) fn authorize(&self, headers: &HeaderMap, body: &[u8], user: &UserContext) -> Result<(), Rejection> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let (mut needed, mut count, mut only) = (ScopeSet::default(), 0_usize, None);
        for_each_operation(body, |operation| {
            policy.add_needed(&operation, &mut needed);
            count += 1;
            only = Some(operation).filter(|_| count == 1);
        })
        .map_err(unreadable)?;
        check_mirrored_headers(headers, only.as_ref())?;
        if self.hierarchy.satisfies(user.scopes(), &needed) {
            Ok(())
        } else {
            Err(AuthError::insufficient_scope(needed).into())
        }
    }
}

fn check_mirrored_headers(headers: &HeaderMap, operation: Option<&Operation>) -> Result<(), Rejection> {
    if mirror_operation(headers, operation) {
        return Ok(());
    }
    Err(Rejection::HeaderMismatch(operation.and_then(Operation::id).cloned()))
}

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AuthError {
    AuthError::new(Reason::MalformedBody).with_source(source)
}

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Reports whether the mirrored headers name `operation`, the only operation of the body; `None` if the body has none or several.
///
/// No decision is based on these headers (TR-15), but an inner service might rely on them. Before 2026-07-28 they have no meaning.
/// MCP 2026-07-28, Streamable HTTP, Standard Headers. The inner service checks whether they are present.
pub(super) fn mirror_operation(headers: &HeaderMap, operation: Option<&Operation>) -> bool {
    if !is_modern(headers) {
        return true;
    }
    let Some(operation) = operation else { return !headers.contains_key(METHOD) && !headers.contains_key(NAME) };
    let all_match = |name, expected: &str| headers.get_all(name).iter().all(|value| matches_body(value, expected));
    all_match(METHOD, operation.method()) && operation.target().is_none_or(|target| all_match(NAME, target))
}

/// Reports whether `value` is `expected`, as it is or as `=?base64?...?=`.
fn matches_body(value: &HeaderValue, expected: &str) -> bool {
    let value = value.as_bytes();
    match value.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?=")) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).is_ok_and(|decoded| decoded == expected.as_bytes()),
        None => value == expected.as_bytes(),
    }
}

/// Reports whether a body with these headers is UTF-8, neither compressed nor in another charset.
///
/// The same bytes can be harmless JSON in UTF-8, and the call of a tool when they are decompressed or decoded as UTF-7. Some servers
/// do either when a header requests it.
pub(super) fn is_plain_utf8(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let mut media_types = headers.get_all(CONTENT_TYPE).iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
        && media_types.all(|media_type| media_type.to_str().is_ok_and(is_utf8))
}

/// Reports whether every parameter that could be parsed as a charset is `charset=utf-8`.
fn is_utf8(media_type: &str) -> bool {
    let mut parameters = media_type.split(';').skip(1).map(|parameter| parameter.trim().to_ascii_lowercase());
    parameters.all(|parameter| {
        !parameter.contains("charset") || matches!(&*parameter, "charset=utf-8" | "charset=\"utf-8\"" | "charset=utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_charset_utf_8_is_accepted() {
        for plain in [
            "application/json",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; profile=x; charset=utf8",
        ] {
            assert!(is_utf8(plain), "{plain}");
        }
        for other in [
            "application/json; charset=utf-7",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset=utf-16le",
            "application/json; charset = utf-7",
            "application/json; charset*=utf-7''x",
            "application/json; x=\";charset=utf-7\"",
            "application/json;charset=utf-8,text/plain;charset=utf-7",
            "application/json;charset=",
        ] {
            assert!(!is_utf8(other), "{other}");
        }
    }
}
