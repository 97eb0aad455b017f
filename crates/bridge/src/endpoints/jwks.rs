//! The keys by which access tokens are signed.

use axum::extract::State;
use http::HeaderValue;

use serde_json::json;

use crate::{
    AccessTokenKind, Bridge,
    answer::{self, Answer},
};

/// For so long resource servers may go by what they have read. [`SigningKeys`](crate::SigningKeys) says what follows from it.
const FRESH: HeaderValue = HeaderValue::from_static("public, max-age=600");

/// `GET /jwks`: none, if tokens are not JWTs. [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)
pub(crate) async fn jwks(State(bridge): State<Bridge>) -> Answer {
    let keys = match &bridge.inner().config.access_tokens {
        AccessTokenKind::Jwt(keys) => keys.published(),
        AccessTokenKind::Reference => json!({"keys": []}),
    };
    answer::public(&keys, "application/jwk-set+json", FRESH)
}
