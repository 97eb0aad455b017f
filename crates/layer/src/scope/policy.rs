//! [`OperationPolicy`] and [`ScopeHierarchy`]: which scopes each MCP operation needs, and which scopes imply others; and [`Rule`], the
//! decisions of [`ToolScopes`](super::ToolScopes) by them, none of which waits.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body::Body;
use portcullis_core::{AuthError, Reason, ScopeSet, UserContext};

use super::json_rpc::{CALL_TOOL, GET_PROMPT, Operation, for_each_operation};
use crate::{response::Rejection, session::is_modern};

/// The scopes that each MCP operation needs. An operation without a rule needs none; several rules for the same name are combined.
///
/// Names are compared as they are written. There are no rules for the URI of a resource: a resource may have several URIs, which only the
/// server knows.
///
/// ```
/// use portcullis_core::ScopeSet;
/// use portcullis_layer::scope::{OperationPolicy, ToolScopesLayer};
///
/// let policy = OperationPolicy::new()
///     .with_tool("delete_user", ScopeSet::parse("mcp:admin")?)
///     .with_other_tools(ScopeSet::parse("mcp:tools")?)
///     .with_method("resources/read", ScopeSet::parse("mcp:read")?);
/// let layer = ToolScopesLayer::new(policy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct OperationPolicy {
    methods: HashMap<Box<str>, ScopeSet>,
    tools: HashMap<Box<str>, ScopeSet>,
    other_tools: ScopeSet,
    prompts: HashMap<Box<str>, ScopeSet>,
}

impl OperationPolicy {
    /// Creates a policy without rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires all of `scopes` for calls of the tool `name` (`tools/call`).
    #[must_use]
    pub fn with_tool(mut self, name: &str, scopes: ScopeSet) -> Self {
        add(&mut self.tools, name, scopes);
        self
    }

    /// Requires all of `scopes` for calls of tools that [`with_tool`](Self::with_tool) does not name. Default: none.
    #[must_use]
    pub fn with_other_tools(mut self, scopes: ScopeSet) -> Self {
        self.other_tools = scopes;
        self
    }

    /// Requires all of `scopes` for the prompt `name` (`prompts/get`).
    #[must_use]
    pub fn with_prompt(mut self, name: &str, scopes: ScopeSet) -> Self {
        add(&mut self.prompts, name, scopes);
        self
    }

    /// Requires all of `scopes` for messages with `method`, in addition to the scopes of their tool or prompt.
    #[must_use]
    pub fn with_method(mut self, method: &str, scopes: ScopeSet) -> Self {
        add(&mut self.methods, method, scopes);
        self
    }

    /// Reports whether no operation needs scopes.
    fn is_empty(&self) -> bool {
        let mut named = self.methods.values().chain(self.tools.values()).chain(self.prompts.values());
        self.other_tools.is_empty() && named.all(ScopeSet::is_empty)
    }

    /// Adds the scopes that `operation` needs to `needed`.
    fn add_needed(&self, operation: &Operation, needed: &mut ScopeSet) {
        for scopes in self.rules(operation) {
            if !needed.is_superset(scopes) {
                *needed = needed.union(scopes);
            }
        }
    }

    fn rules(&self, operation: &Operation) -> impl Iterator<Item = &ScopeSet> {
        let by_target = match (operation.method(), operation.target()) {
            (CALL_TOOL, Some(tool)) => Some(self.tools.get(tool).unwrap_or(&self.other_tools)),
            (GET_PROMPT, Some(prompt)) => self.prompts.get(prompt),
            _ => None,
        };
        self.methods.get(operation.method()).into_iter().chain(by_target)
    }
}

fn add(rules: &mut HashMap<Box<str>, ScopeSet>, name: &str, scopes: ScopeSet) {
    rules.entry(name.into()).and_modify(|known| *known = known.union(&scopes)).or_insert(scopes);
}

/// A hierarchy of scopes, in which broad scopes imply narrow ones: a token with `mcp:admin` does not need `mcp:read` as well.
///
/// Implications are transitive; a cycle makes its scopes equivalent. MCP authorization, Step-Up Authorization Flow: a server considers
/// scope hierarchies when it decides whether the scopes of a token suffice.
///
/// ```
/// use portcullis_core::ScopeSet;
/// use portcullis_layer::scope::ScopeHierarchy;
///
/// let hierarchy = ScopeHierarchy::new()
///     .with_implication("mcp:admin", ScopeSet::parse("mcp:write")?)
///     .with_implication("mcp:write", ScopeSet::parse("mcp:read")?);
/// let (admin, read) = (ScopeSet::parse("mcp:admin")?, ScopeSet::parse("mcp:read")?);
/// assert!(hierarchy.satisfies(&admin, &read));
/// assert!(!hierarchy.satisfies(&read, &admin));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct ScopeHierarchy {
    /// The scopes that each broad scope implies, directly or indirectly.
    implied: HashMap<Box<str>, ScopeSet>,
}

impl ScopeHierarchy {
    /// Creates a hierarchy without implications.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the implication of all of `narrow`, and of the scopes that these imply, by `broad`.
    #[must_use]
    pub fn with_implication(mut self, broad: &str, narrow: ScopeSet) -> Self {
        let further: Vec<_> = narrow.iter().filter_map(|scope| self.implied.get(scope)).cloned().collect();
        let gained = further.iter().fold(narrow, |gained, more| gained.union(more));
        self.implied.entry(broad.into()).or_default();
        for (scope, implied) in &mut self.implied {
            if **scope == *broad || implied.contains(broad) {
                *implied = implied.union(&gained);
            }
        }
        self
    }

    /// Reports whether `held` suffices for `needed`: each needed scope is held, or implied by a held one.
    #[must_use]
    pub fn satisfies(&self, held: &ScopeSet, needed: &ScopeSet) -> bool {
        held.is_superset(needed) || needed.iter().all(|scope| held.contains(scope) || self.is_implied(held, scope))
    }

    fn is_implied(&self, held: &ScopeSet, scope: &str) -> bool {
        held.iter().any(|broad| self.implied.get(broad).is_some_and(|implied| implied.contains(scope)))
    }
}

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
fn mirror_operation(headers: &HeaderMap, operation: Option<&Operation>) -> bool {
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
fn is_plain_utf8(headers: &HeaderMap) -> bool {
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

    fn scopes(text: &str) -> ScopeSet {
        ScopeSet::parse(text).expect(text)
    }

    #[test]
    fn without_implications_scopes_stand_for_themselves() {
        let hierarchy = ScopeHierarchy::new();
        assert!(hierarchy.satisfies(&scopes("a b"), &scopes("b")));
        assert!(hierarchy.satisfies(&scopes(""), &scopes("")));
        assert!(!hierarchy.satisfies(&scopes("a"), &scopes("a b")));
    }

    #[test]
    fn implications_are_transitive_in_whatever_order_they_are_given() {
        let links = [("a", "b"), ("b", "c"), ("c", "d e")];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0]] {
            let hierarchy = order.iter().fold(ScopeHierarchy::new(), |hierarchy, &at| {
                let (broad, narrow) = links[at];
                hierarchy.with_implication(broad, scopes(narrow))
            });
            assert!(hierarchy.satisfies(&scopes("a"), &scopes("e d c b a")), "{order:?}");
            assert!(!hierarchy.satisfies(&scopes("b"), &scopes("a")), "{order:?}");
            assert!(!hierarchy.satisfies(&scopes("d e"), &scopes("c")), "{order:?}");
        }
    }

    #[test]
    fn a_cycle_makes_its_scopes_equivalent() {
        let hierarchy = ScopeHierarchy::new()
            .with_implication("a", scopes("b"))
            .with_implication("b", scopes("c a"))
            .with_implication("a", scopes("a"));
        assert!(hierarchy.satisfies(&scopes("a"), &scopes("a b c")));
        assert!(hierarchy.satisfies(&scopes("b"), &scopes("a b c")));
        assert!(!hierarchy.satisfies(&scopes("c"), &scopes("a")));
    }

    #[test]
    fn what_is_needed_may_be_covered_by_several_scopes_together() {
        let hierarchy = ScopeHierarchy::new().with_implication("a", scopes("x"));
        assert!(hierarchy.satisfies(&scopes("a b"), &scopes("x b")));
        assert!(!hierarchy.satisfies(&scopes("b"), &scopes("x b")));
    }

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
