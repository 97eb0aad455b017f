//! Every error class of every provider.

use std::{collections::BTreeSet, time::Duration};

use portcullis_core::{AuthError, AuthErrorKind};
use portcullis_oauth::ProtocolError;

use crate::support::{NAMES, NOW, cases, meaning, provider, response, token};

#[test]
fn every_refusal_of_a_token_endpoint_means_what_is_recorded() {
    for name in NAMES {
        let provider = provider(name);
        let mut seen = BTreeSet::new();
        for case in cases(name, "token_errors") {
            let error = provider.process_token(&case.response, NOW).expect_err(&case.label);
            assert_eq!(meaning(&provider, &error), case.means, "{}: {error}", case.label);
            let kind = AuthError::from(error).kind();
            let ends = kind == AuthErrorKind::InvalidToken;
            assert!(ends || kind == AuthErrorKind::Unavailable, "{}", case.label);
            assert_eq!(ends, case.means == "grant", "{}: only a dead grant sends a user to log in", case.label);
            seen.insert(case.means);
        }
        for class in ["grant", "credentials", "client", "transient", "unreadable"] {
            assert!(seen.contains(class), "{name}: no recording of {class}");
        }
    }
}

#[test]
fn every_refusal_of_a_profile_means_what_is_recorded() {
    let keycloak: serde_json::Value =
        serde_json::from_str(&crate::support::fixture("keycloak", "login")).expect("JSON");
    let presented = token(keycloak["access_token"].as_str().expect("token"));
    for name in NAMES {
        let provider = provider(name);
        for case in cases(name, "profile_errors") {
            let error = provider.process_profile(&case.response, &presented).expect_err(&case.label);
            assert_eq!(meaning(&provider, &error), case.means, "{}: {error}", case.label);
            let ends = AuthError::from(error).kind() == AuthErrorKind::InvalidToken;
            assert_eq!(ends, case.means == "token", "{}", case.label);
        }
    }
}

#[test]
fn the_delay_that_a_provider_asks_for_is_kept() {
    for name in NAMES {
        for case in cases(name, "token_errors") {
            let asked = case.response.headers().get("retry-after").map(|text| text.to_str().expect("text").to_owned());
            let error = provider(name).process_token(&case.response, NOW).expect_err(&case.label);
            let kept = error.retry_after().map(|delay| delay.as_secs().to_string());
            assert_eq!(kept, asked, "{}", case.label);
        }
    }
    let limited = response(429, "text/plain", "");
    let error = provider("oidc").process_token(&limited, NOW).expect_err("limited");
    assert_eq!(error, ProtocolError::RateLimited { retry_after: None::<Duration> });
}

#[test]
fn the_operator_reads_why_a_grant_is_dead_but_never_a_token() {
    let refused = |description: &str| {
        let body = serde_json::json!({"error": "invalid_grant", "error_description": description}).to_string();
        let error = provider("oidc").process_token(&response(400, "application/json", &body), NOW);
        error.expect_err("refused").to_string()
    };
    assert!(refused("Session not active").contains("Session not active"));
    let leaky = refused("no such token: 5Aep861TSESvWeug_xvFHRBTTbf_YrTWgEyjBJrr");
    assert!(leaky.contains("invalid_grant") && !leaky.contains("5Aep861"), "{leaky}");
}
