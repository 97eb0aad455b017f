//! The keys by which access tokens are signed.

use http::HeaderValue;

use crate::{
    SigningKeys,
    answer::{self, Answer},
};

/// For so long resource servers may go by what they have read. [`SigningKeys`] says what follows from it.
const FRESH: HeaderValue = HeaderValue::from_static("public, max-age=600");

/// `GET /jwks`, if tokens are JWTs. [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)
pub(crate) fn jwks(keys: &SigningKeys) -> Answer {
    answer::public(&keys.published(), "application/jwk-set+json", FRESH)
}
