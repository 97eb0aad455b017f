//! [`Rejection`]: how a layer inside the gate refuses a request.

use bytes::Bytes;
use http::{Response, StatusCode};
use portcullis_core::AuthError;

use crate::ResponseBody;

/// Why a request does not reach the inner service.
#[derive(Debug)]
pub(super) enum Rejection {
    /// It may not. [`Auth`](crate::Auth) finds the error in the extensions and answers as the wire table says; where there
    /// is no gate outside, the bare status is a refusal still.
    Refused(AuthError),
    /// Nobody has said who is calling: a mistake in how the layers are put together. 500, whatever stands outside.
    MissingUser,
}

impl Rejection {
    pub(super) fn into_response<C>(self) -> Response<ResponseBody<C>> {
        let mut response = Response::new(ResponseBody::own(Bytes::new()));
        match self {
            Self::Refused(error) => {
                *response.status_mut() = error.kind().status();
                response.extensions_mut().insert(error);
            }
            Self::MissingUser => {
                tracing::error!("scopes are required, but no AuthLayer stands outside to say who is calling");
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
        }
        response
    }
}

impl From<AuthError> for Rejection {
    fn from(error: AuthError) -> Self {
        Self::Refused(error)
    }
}
