//! The tools of an MCP server that knows the user of each request.

use std::sync::Arc;

use http::request::Parts;
use portcullis::{
    AuthError, ScopeSet, UserContext, layer::scope::OperationPolicy, oauth::providers::Profile, types::AuthErrorKind,
    upstream::ProviderClient,
};
use rmcp::{
    ErrorData,
    handler::server::{common::Extension, wrapper::Parameters},
    schemars::JsonSchema,
    tool, tool_router,
};
use serde::Deserialize;

/// An MCP server whose tools know the user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools {
    /// The provider that the tool `upstream` calls; `None` in resource-server mode.
    provider: Option<ProviderClient>,
}

const NO_UPSTREAM: &str = "There is no upstream token in resource-server mode: your access token is for this server only, and is never \
                           passed on.";

/// The arguments of the echo tools.
#[derive(Deserialize, JsonSchema, Debug)]
#[schemars(crate = "rmcp::schemars")]
pub(crate) struct Message {
    /// The text to send back.
    message: String,
}

/// Returns the scopes that tools need. The layer in front of the tools checks them, so that no tool can omit the check.
///
/// The policy repeats the `required` scopes: the challenge names exactly the scopes of the policy, and a client requests those.
pub(crate) fn scopes(required: &ScopeSet) -> OperationPolicy {
    OperationPolicy::new().with_tool("admin_echo", required.union(&admin_scope()))
}

/// Returns the scope that `admin_echo` needs.
fn admin_scope() -> ScopeSet {
    ScopeSet::parse("mcp:admin").expect("a scope name")
}

impl Tools {
    /// Creates the tools for users who have upstream tokens at `provider`.
    pub(crate) const fn calling(provider: ProviderClient) -> Self {
        Self { provider: Some(provider) }
    }
}

#[tool_router(server_handler)]
impl Tools {
    /// Returns the user context of the request.
    #[tool(
        description = "Says who you are: issuer, subject, client, scopes and claims",
        annotations(read_only_hint = true)
    )]
    async fn whoami(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        let user = user(&parts)?;
        serde_json::to_string_pretty(&**user).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    #[tool(description = "Sends your message back", annotations(read_only_hint = true))]
    async fn echo(&self, Parameters(Message { message }): Parameters<Message>) -> String {
        message
    }

    /// Needs a bridge: in resource-server mode the only token is that of the request, which must not be passed on (MCP
    /// authorization, Access Token Privilege Restriction).
    #[tool(
        description = "Calls the provider's UserInfo endpoint with your upstream token",
        annotations(read_only_hint = true)
    )]
    async fn upstream(&self, Extension(parts): Extension<Parts>) -> Result<String, String> {
        let provider = self.provider.as_ref().ok_or(NO_UPSTREAM)?;
        let user = user(&parts).map_err(|error| error.message)?;
        let profile = profile(provider, user).await.map_err(|error| {
            // The authentication layer rejects the next request with 401 or 503, which tells the client what to do.
            tracing::warn!(reason = %error.reason(), "a tool could not call the provider");
            "The provider cannot be called at the moment."
        })?;
        serde_json::to_string_pretty(profile.members()).map_err(|error| error.to_string())
    }

    /// Checks no scope: [`scopes`] has the rule, and a request without the scope was rejected with 403.
    #[tool(
        description = "Sends your message back, if you have the scope mcp:admin",
        annotations(read_only_hint = true)
    )]
    async fn admin_echo(&self, Parameters(Message { message }): Parameters<Message>) -> String {
        message
    }
}

/// Returns the user of this request, not of the session: rmcp passes the HTTP request with each message.
fn user(parts: &Parts) -> Result<&Arc<UserContext>, ErrorData> {
    parts.extensions.get::<Arc<UserContext>>().ok_or_else(|| {
        tracing::error!("no user context in the request: the authentication layer is missing in front of this server");
        ErrorData::internal_error("no user context", None)
    })
}

/// Fetches the profile of `user` from the provider, with the user's upstream token.
///
/// If the provider rejects the token, reports that once and tries again with a refreshed token.
async fn profile(provider: &ProviderClient, user: &UserContext) -> Result<Profile, AuthError> {
    let token = user.upstream().access_token().await?;
    match provider.profile(&token).await {
        Err(refusal) if refusal.kind() == AuthErrorKind::InvalidToken => {
            let token = user.upstream().rejected(&token).await?;
            provider.profile(&token).await
        }
        answer => answer,
    }
}
