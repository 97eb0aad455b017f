//! Scopes of every request: `AuthConfig::with_required_scopes`.

use portcullis_layer::{Auth, AuthConfig, scope::ScopeHierarchy};
use portcullis_testkit::StrictService;
use tower::ServiceExt as _;

use super::support::{Outcome, Verifier, config, echo, post, scopes};

async fn ask(config: AuthConfig<Verifier>, token: &str) -> Outcome {
    let inner = StrictService::new(echo);
    let response = Auth::new(inner.clone(), config).oneshot(post(token, "")).await.expect("response");
    Outcome::of(response, inner.calls()).await
}

#[tokio::test]
async fn rs_18_a_token_without_the_required_scopes_gets_403_with_all_of_them_in_one_challenge() {
    let config = config().with_required_scopes(scopes("use read"));
    ask(config.clone(), "read").await.assert_forbidden("use read");
    ask(config, "read~use").await.assert_passed();
}

#[tokio::test]
async fn rs_23_a_broad_scope_satisfies_what_every_request_needs() {
    let hierarchy = ScopeHierarchy::new().with_implication("all", scopes("use read"));
    let config = config().with_required_scopes(scopes("use read")).with_scope_hierarchy(hierarchy);
    ask(config.clone(), "all").await.assert_passed();
    ask(config.map_verifier(|verifier| verifier), "all").await.assert_passed();
}

#[tokio::test]
async fn rs_23_a_narrow_scope_does_not_imply_the_broad_one() {
    let hierarchy = ScopeHierarchy::new().with_implication("all", scopes("use"));
    let config = config().with_required_scopes(scopes("all")).with_scope_hierarchy(hierarchy);
    ask(config, "use").await.assert_forbidden("all");
}
