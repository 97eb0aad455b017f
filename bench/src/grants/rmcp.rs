//! rmcp's authorization client with a fresh token.

use std::{collections::HashMap, error::Error, hint::black_box, sync::Arc, time::Duration};

use portcullis_testkit::IdentityProvider;
use rmcp::{
    model::ClientJsonRpcMessage,
    transport::{
        auth::AuthClient,
        streamable_http_client::{StreamableHttpClient, StreamableHttpPostResponse},
    },
};
use serde_json::json;

use crate::load::contention::{Held, Resource, rmcp::manager_with};

/// An `AuthClient` with a fresh token in memory, around a resource that answers at once.
pub(crate) struct Fresh {
    client: AuthClient<Resource>,
    url: Arc<str>,
    message: ClientJsonRpcMessage,
}

impl Fresh {
    pub(crate) async fn new() -> Result<Self, Box<dyn Error>> {
        let idp = IdentityProvider::new();
        let held = Held {
            grant: idp.issue_grant("alice", "openid"),
            age: Duration::ZERO,
            lifetime: Duration::from_secs(3600),
            put_back: Duration::ZERO,
        };
        let client = AuthClient::new(Resource(None), manager_with(&idp, &held).await?);
        Ok(Self { client, url: "https://mcp.example.test/mcp".into(), message: message() })
    }

    pub(crate) async fn access_token(&self) {
        black_box(self.client.get_access_token().await.expect("a fresh token"));
    }

    /// Sends a message with the token.
    pub(crate) async fn post(&self) {
        post(&self.client, self, None).await;
    }

    /// Sends the same message with a token that is at hand.
    pub(crate) async fn post_with(&self, token: &str) {
        post(&Resource(None), self, Some(token.to_owned())).await;
    }
}

async fn post<C: StreamableHttpClient>(client: &C, fresh: &Fresh, token: Option<String>) {
    let (url, message) = (Arc::clone(&fresh.url), fresh.message.clone());
    let posted = client.post_message(url, message, None, token, HashMap::new()).await;
    assert!(matches!(black_box(posted), Ok(StreamableHttpPostResponse::Accepted)));
}

fn message() -> ClientJsonRpcMessage {
    let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    serde_json::from_value(message).expect("a message")
}
