//! [`Registration`]: the row of a client that has registered itself.

use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_grants::records::{Collection, Record, RecordKey};
use serde::{Deserialize, Serialize};

use crate::clients::{Client, shares::Users};

/// The row of a client that has registered itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::clients) struct Registration {
    #[serde(flatten)]
    pub(in crate::clients) client: Client,
    /// Who has been given tokens through it.
    #[serde(default, skip_serializing_if = "Users::is_empty")]
    pub(in crate::clients) users: Users,
}

impl Registration {
    /// Whether users have been given tokens through it, as its row says, or how long the row is kept: rows of older versions say
    /// nothing of users.
    pub(super) fn is_used(opened: &Record<Self>, now: UnixTime, unused_ttl: Duration) -> bool {
        !opened.value.users.is_empty() || opened.expires_at > now + unused_ttl
    }
}

/// Where the registration of the client `id` is.
pub(in crate::clients) fn key(id: &str) -> RecordKey {
    RecordKey::of(Collection::CLIENTS, &[b"registered", id.as_bytes()])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clients::RedirectUri;

    #[test]
    fn a_row_of_an_older_version_opens_and_one_of_this_version_opens_there() {
        let uri = RedirectUri::new("https://app.example.com/cb").expect("a redirect URI");
        let client = Client::public("client_1", "App", vec![uri]);
        let older = serde_json::to_value(&client).expect("plain data");
        let registration: Registration = serde_json::from_value(older.clone()).expect("a row");
        assert!(registration.users.is_empty());
        assert_eq!(serde_json::to_value(&registration).expect("plain data"), older, "and says the same");

        let users = json!({"listed": [{"sessions": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}], "others_until": 7});
        let mut newer = older;
        newer["users"] = users.clone();
        let registration: Registration = serde_json::from_value(newer.clone()).expect("a row");
        assert_eq!(serde_json::to_value(&registration.users).expect("plain data"), users);
        let there: Client = serde_json::from_value(newer).expect("what is not asked for is ignored");
        assert_eq!(there.id(), "client_1");
    }
}
