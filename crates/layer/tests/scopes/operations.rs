//! Scopes per operation: `ToolScopesLayer` and its policy.

use http::Request;
use http_body_util::Empty;
use portcullis_layer::{
    Auth,
    scope::{OperationPolicy, ScopeHierarchy, ToolScopesLayer},
};
use portcullis_testkit::StrictService;
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use super::support::{Outcome, ask, ask_with, call, config, echo, policy, post, scopes};

#[tokio::test]
async fn rs_18_a_tool_that_needs_more_answers_403_with_the_challenge_of_the_gate() {
    ask(post("admin", call("admin_echo"))).await.assert_forbidden("admin audit");
    ask(post("none", call("echo"))).await.assert_passed();
    let passed = ask(post("admin~audit", call("admin_echo"))).await;
    passed.assert_passed();
    assert_eq!(passed.body, call("admin_echo"));
}

#[tokio::test]
async fn rs_18_methods_and_prompts_have_scopes_too() {
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///x"}}"#;
    ask(post("none", read)).await.assert_forbidden("read");
    ask(post("read", read)).await.assert_passed();
    let prompt = |name| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{{"name":"{name}"}}}}"#);
    ask(post("none", prompt("secret"))).await.assert_forbidden("prompts");
    ask(post("none", prompt("admin_echo"))).await.assert_passed();
}

#[tokio::test]
async fn rs_19_the_challenge_names_what_the_call_needs_and_not_what_the_token_has_besides() {
    ask(post("read~prompts", call("admin_echo"))).await.assert_forbidden("admin audit");
}

#[tokio::test]
async fn rs_20_method_and_tool_add_up_in_one_challenge() {
    let policy = policy().with_method("tools/call", scopes("tools")).with_tool("admin_echo", scopes("root"));
    let layer = ToolScopesLayer::new(policy);
    ask_with(layer.clone(), post("audit", call("admin_echo"))).await.assert_forbidden("tools admin audit root");
    ask_with(layer.clone(), post("none", call("echo"))).await.assert_forbidden("tools");
    ask_with(layer, post("tools", call("echo"))).await.assert_passed();
}

#[tokio::test]
async fn rs_20_a_batch_gets_one_challenge_for_all_its_calls() {
    let read = r#"{"method":"resources/read","id":2,"params":{"uri":"x:y"}}"#;
    let batch = format!("[{},{},{read}]", call("echo"), call("admin_echo"));
    ask(post("audit", batch.clone())).await.assert_forbidden("admin audit read");
    ask(post("admin~audit", batch.clone())).await.assert_forbidden("admin audit read");
    let passed = ask(post("admin~audit~read", batch.clone())).await;
    passed.assert_passed();
    assert_eq!(passed.body, batch);
}

#[tokio::test]
async fn tools_that_are_not_named_have_scopes_of_their_own() {
    let layer = ToolScopesLayer::new(policy().with_other_tools(scopes("tools")).with_tool("free", scopes("")));
    ask_with(layer.clone(), post("none", call("echo"))).await.assert_forbidden("tools");
    ask_with(layer.clone(), post("tools", call("echo"))).await.assert_passed();
    ask_with(layer.clone(), post("none", call("free"))).await.assert_passed();
    ask_with(layer, post("admin~audit", call("admin_echo"))).await.assert_passed();
    let only = ToolScopesLayer::new(OperationPolicy::new().with_other_tools(scopes("tools")));
    ask_with(only, post("none", call("echo"))).await.assert_forbidden("tools");
}

#[tokio::test]
async fn rs_23_a_broad_scope_is_enough_for_a_tool() {
    let hierarchy = ScopeHierarchy::new().with_implication("root", scopes("admin audit"));
    let layer = ToolScopesLayer::new(policy()).with_hierarchy(hierarchy);
    ask_with(layer.clone(), post("root", call("admin_echo"))).await.assert_passed();
    ask_with(layer, post("admin", call("admin_echo"))).await.assert_forbidden("admin audit");
}

#[tokio::test]
async fn a_call_without_an_id_needs_the_same_scopes() {
    let notification = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"admin_echo"}}"#;
    ask(post("none", notification)).await.assert_forbidden("admin audit");
}

#[tokio::test]
async fn other_methods_notifications_and_responses_need_no_scopes() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"name":"admin_echo"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x/unknown","params":null}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#,
        "[]",
    ] {
        let passed = ask(post("none", body)).await;
        passed.assert_passed();
        assert_eq!(passed.body, body);
    }
}

#[tokio::test]
async fn a_request_without_a_body_passes_whatever_its_method() {
    for method in ["GET", "DELETE", "OPTIONS", "POST"] {
        let request = Request::builder().method(method).uri("/mcp").header("authorization", "Bearer none");
        ask(request.body(Empty::new()).expect("request")).await.assert_passed();
    }
    let preflight =
        Request::options("/mcp").header("origin", "https://a.b").header("access-control-request-method", "POST");
    ask(preflight.body(Empty::new()).expect("request")).await.assert_passed();
}

#[tokio::test]
async fn a_body_is_judged_whatever_the_method_of_the_request() {
    for method in ["GET", "DELETE", "PUT", "OPTIONS"] {
        let mut request = post("none", call("admin_echo"));
        *request.method_mut() = method.parse().expect("method");
        ask(request).await.assert_forbidden("admin audit");
    }
}

#[tokio::test]
async fn without_a_user_the_answer_is_500_and_nothing_is_called() {
    let inner = StrictService::new(echo);
    let server = ToolScopesLayer::new(policy()).layer(inner.clone());
    let outcome = Outcome::of(server.oneshot(post("none", call("echo"))).await.expect("response"), inner.calls()).await;
    assert_eq!((outcome.status, outcome.calls), (500, 0));

    let open = Auth::new(ToolScopesLayer::new(policy()).layer(inner.clone()), config().with_open_path("/mcp"));
    let outcome = Outcome::of(open.oneshot(post("none", call("echo"))).await.expect("response"), inner.calls()).await;
    assert_eq!((outcome.status, outcome.calls), (500, 0));
}

#[tokio::test]
async fn under_an_empty_policy_no_body_is_looked_at() {
    for policy in [OperationPolicy::new(), OperationPolicy::new().with_tool("admin_echo", scopes(""))] {
        let passed = ask_with(ToolScopesLayer::new(policy), post("none", "not JSON at all")).await;
        passed.assert_passed();
        assert_eq!(passed.body, "not JSON at all");
    }
}
