//! The memory that a malicious body needs, measured by an allocator. It is a separate program, which runs itself once for
//! each body, because the allocator measures the peak of the process.

use std::{
    alloc::System,
    convert::Infallible,
    env,
    process::{Command, ExitCode},
    sync::Arc,
};

use bytes::Bytes;
use cap::Cap;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use portcullis_core::{Issuer, ScopeSet, UserContext};
use portcullis_layer::scope::{OperationPolicy, RequestBody, ToolScopesLayer, for_each_operation};
use tower::ServiceExt as _;
use tower_layer::Layer as _;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The body limit.
const LIMIT: usize = 512 << 10;

/// The memory for the request, the response and the futures.
const FIXED: usize = 16 * 1024;

/// Concatenates `before`, the results of `piece` up to the limit, and `after`.
fn filled(before: &str, mut piece: impl FnMut(&mut String, usize), after: &str) -> Vec<u8> {
    let mut body = String::with_capacity(LIMIT);
    body.push_str(before);
    for n in 0.. {
        let len = body.len();
        piece(&mut body, n);
        if body.len() + after.len() > LIMIT {
            body.truncate(len);
            break;
        }
    }
    body.push_str(after);
    body.into_bytes()
}

/// Accepted bodies.
const ACCEPTED: [&str; 15] = [
    "many small objects",
    "many objects of one member",
    "many numbers",
    "many empty strings",
    "nested arrays",
    "nested objects",
    "one object of many names",
    "a string of escapes",
    "a string of long escapes",
    "a string with one escape",
    "a string of lines",
    "a string of colons",
    "a batch of small requests",
    "a batch of calls",
    "a long id",
];

/// Rejected bodies, which must not need more memory.
const REFUSED: [&str; 5] = [
    "nothing but brackets",
    "nothing but braces",
    "a long method",
    "a long name of a tool",
    "an object that repeats one name",
];

/// Creates the body with a name, of about the limit.
fn body(name: &str) -> Vec<u8> {
    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":"#;
    let list = |piece: &str| filled(&format!("{CALL}["), |body, _| body.push_str(piece), "0]}}");
    let string = |start: &str, piece: &str| filled(&format!("{CALL}\"{start}"), |body, _| body.push_str(piece), "\"}}");
    let whole = |before: &str, piece: &str, after: &str| filled(before, |body, _| body.push_str(piece), after);
    match name {
        "many small objects" => list("{},"),
        "many objects of one member" => list(r#"{"a":0},"#),
        "many numbers" => list("1,"),
        "many empty strings" => list(r#""","#),
        "nested arrays" => list(&format!("{}0{},", "[".repeat(100), "]".repeat(100))),
        "nested objects" => list(&format!("{}0{},", r#"{"":"#.repeat(100), "}".repeat(100))),
        "one object of many names" => filled(&format!("{CALL}{{"), |body, n| body.push_str(&short(n)), r#""":0}}}"#),
        "a string of escapes" => string("", r"\n"),
        "a string of long escapes" => string("", r"\u0061"),
        "a string with one escape" => string(r"\n", "x"),
        "a string of lines" => string("", &format!(r"{}\n", "x".repeat(78))),
        "a string of colons" => string("", ":"),
        "a batch of small requests" => whole("[", r#"{"method":"a"},"#, r#"{"method":"a"}]"#),
        "a batch of calls" => whole("[", r#"{"method":"tools/call","params":{"name":"a"}},"#, r#"{"method":"a"}]"#),
        "a long id" => whole(r#"{"method":"ping","id":"\n"#, "x", "\"}"),
        "nothing but brackets" => whole("", "[", ""),
        "nothing but braces" => whole("", r#"{"":"#, ""),
        "a long method" => whole(r#"{"method":"\n"#, "x", "\"}"),
        "a long name of a tool" => whole(r#"{"method":"tools/call","params":{"name":"\n"#, "x", "\"}}"),
        "an object that repeats one name" => whole(r#"{"a":{"#, r#""b":0,"#, r#""b":0}}"#),
        _ => unreachable!("no such body: {name}"),
    }
}

/// Creates a member whose name is `n` in three digits to the base of 90: the shortest for half a million distinct names.
fn short(n: usize) -> String {
    let digits: Vec<char> = ('!'..='~').filter(|c| !matches!(c, '"' | '\\')).collect();
    let base = digits.len();
    format!("\"{}{}{}\":0,", digits[n % base], digits[n / base % base], digits[n / base / base])
}

/// Returns the status of the response to a request with `body`.
fn judge(body: Vec<u8>) -> StatusCode {
    let policy = OperationPolicy::new().with_tool("admin", ScopeSet::parse("admin").expect("a scope"));
    let inner = tower::service_fn(async |request: Request<RequestBody<Full<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let service = ToolScopesLayer::new(policy).with_body_limit(LIMIT).layer(inner);
    let user = UserContext::builder(Issuer::new("https://idp.example.com").expect("an issuer"), "alice").build();
    let mut request = Request::new(Full::new(Bytes::from(body)));
    request.extensions_mut().insert(Arc::new(user));
    service.oneshot(request).now_or_never().expect("nothing to wait for").expect("a response").status()
}

/// The body of a child process, and whether it tests the whole layer or the parser alone.
const ORDER: &str = "SCOPES_MEMORY_ORDER";

/// Runs a child process: returns the status, and the peak of memory after the body was created.
fn child(order: &str) {
    let (by, name) = order.split_once('/').expect("an order");
    let body = body(name);
    let before = ALLOCATOR.allocated();
    let status = match by {
        "layer" => judge(body),
        _ => for_each_operation(&body, |_| {}).map_or(StatusCode::BAD_REQUEST, |()| StatusCode::OK),
    };
    println!("{} {}", status.as_u16(), ALLOCATOR.max_allocated().saturating_sub(before));
}

/// The results of a child process.
fn measure(by: &str, name: &str) -> (u16, usize) {
    let this = env::current_exe().expect("a program");
    let output = Command::new(this).env(ORDER, format!("{by}/{name}")).output().expect("a child");
    let text = String::from_utf8(output.stdout).expect("text");
    let (status, peak) = text.trim().split_once(' ').expect(name);
    (status.parse().expect("a status"), peak.parse().expect("a number"))
}

fn main() -> ExitCode {
    if let Ok(order) = env::var(ORDER) {
        child(&order);
        return ExitCode::SUCCESS;
    }
    let accepted = ACCEPTED.map(|name| (name, 200)).into_iter();
    let mut failures = 0;
    for (name, expected) in accepted.chain(REFUSED.map(|name| (name, 400))) {
        let len = body(name).len();
        assert!(len > LIMIT - 1024 && len <= LIMIT, "{name}: {len}");
        // In addition to the received body: the layer has a copy of it, and drops the received one.
        for (by, most) in [("layer", 2 * len + FIXED), ("reader", len + len / 4 + FIXED)] {
            let (status, peak) = measure(by, name);
            let verdict = if status == expected && peak <= most { "ok" } else { "FAILED" };
            failures += usize::from(verdict != "ok");
            println!("{verdict}: {name} by the {by}: {status}, {:.2} times {len}", peak as f64 / len as f64);
        }
    }
    ExitCode::from(u8::from(failures > 0))
}
