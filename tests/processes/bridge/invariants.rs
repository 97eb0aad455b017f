//! [`InvariantChecker`]: compares the stored state after the last kill with what clients have received.

use portcullis::bridge::collections;
use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use portcullis::{refresh::TokenSet, store::Store as _, types::GrantId};
use portcullis_test_support::{Answer, Network, OAuthClient};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{
    client_history::ClientHistory,
    fixture::World,
    retrying_client::{UPSTREAM, WHOAMI, tool},
    server::Site,
    waiting::until_nothing_is_left,
};

/// Codes have expired by then, and so has all that dead processes have reserved; but no token of the bridge, and no grace period.
const LATER: Duration = Duration::from_secs(90);

/// What became of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// All of it is there.
    Alive,
    /// The provider has consumed a refresh token of its grant, and the process died with the answer.
    Unanswered,
    /// As `Unanswered`, and a request has noticed it before.
    Ended,
    /// Its client has ended it.
    Revoked,
}

/// A bridge on the same file, later, that is not killed.
pub(crate) struct InvariantChecker<'a> {
    world: &'a World,
    site: Site,
    network: Network,
    client: OAuthClient,
}

impl<'a> InvariantChecker<'a> {
    pub(crate) async fn new(world: &'a World) -> Self {
        let site = world.later(LATER).await;
        let network = world.network_with(&site);
        let client = world.app_on(&network).await.expect("metadata");
        Self { world, site, network, client }
    }

    /// Lets a session live to its end.
    pub(crate) async fn check(&self, history: &ClientHistory) -> Verdict {
        let client = self.client.clone().with_client_id(&history.client_id);
        let stored = self.stored(history).await.filter(|_| !history.is_revoked);
        let Some(stored) = stored else {
            assert_eq!(client.refresh(history.newest().refresh_token()).await.expect("an answer").status(), 400);
            self.is_dead(history, &client, history.newest()).await;
            return if history.is_revoked { Verdict::Revoked } else { Verdict::Ended };
        };
        for pair in &history.pairs {
            self.works(pair, history).await;
        }
        let newest = client.refresh(history.newest().refresh_token()).await.expect("an answer");
        assert_eq!(newest.status(), 200, "{}: {newest:?}", history.subject);
        self.works(&newest, history).await;
        let verdict = self.use_upstream(history, &newest, &stored).await;
        if verdict == Verdict::Alive {
            let again = client.refresh(history.newest().refresh_token()).await.expect("an answer");
            assert_eq!(tokens(&again), tokens(&newest), "{}: a repetition", history.subject);
            self.works(&newest, history).await;
        }
        let last = self.stored(history).await;
        // The first that ever came has had a successor that was used.
        let oldest = client.refresh(history.pairs[0].refresh_token()).await.expect("an answer");
        assert_eq!(oldest.error(), Some("invalid_grant"), "{}", history.subject);
        self.is_dead(history, &client, &newest).await;
        if let Some(last) = last {
            let refresh_token = last.refresh_token().expect("one").expose_secret();
            assert!(!self.world.idp.is_refreshable(refresh_token), "{}: the provider was not told", history.subject);
        }
        verdict
    }

    /// What is left when all sessions have been judged: nothing, not even of logins whose outcome was lost.
    pub(crate) async fn has_nothing_left(&self) {
        until_nothing_is_left(async || {
            let sessions = self.site.store.count(collections::SESSIONS).await.expect("the file can be read");
            let grants = self.world.grants().await;
            ((sessions, grants) != (0, 0)).then(|| format!("{sessions} sessions and {grants} grants are left"))
        })
        .await;
        assert_eq!(self.site.bridge.shutdown().await, 0);
    }

    /// What is kept of the grant.
    async fn stored(&self, history: &ClientHistory) -> Option<Arc<TokenSet>> {
        let kept = self.site.vault.load(session_of(history.newest())).await.expect("the file can be read");
        kept.map(|kept| Arc::clone(kept.record.tokens()))
    }

    /// The refresh token in the file is the provider's newest, unless the answer with a newer one was lost with a process.
    async fn use_upstream(&self, history: &ClientHistory, newest: &Answer, stored: &TokenSet) -> Verdict {
        let (idp, subject, generation) = (&self.world.idp, &history.subject, stored.generation().number());
        assert!(history.generation <= generation, "{subject}: what was handed out was not saved");
        let refresh_token = stored.refresh_token().expect("one").expose_secret();
        let (presented, is_good) = (idp.times_presented(refresh_token), idp.is_refreshable(refresh_token));
        let answer = self.tool(UPSTREAM, newest).await;
        if presented == 0 {
            assert!(is_good, "{subject}: a refresh token that the provider has answered is lost");
            assert_eq!(answer, (200, json!({ "subject": subject, "generation": generation + 1 })));
            return Verdict::Alive;
        }
        assert_eq!((presented, is_good), (1, false), "{subject}");
        assert_eq!(answer, (200, json!({ "reason": "grant_ended" })), "{subject}");
        Verdict::Unanswered
    }

    async fn works(&self, pair: &Answer, history: &ClientHistory) {
        assert_eq!(self.tool(WHOAMI, pair).await, (200, json!({ "subject": history.subject })));
    }

    /// Nothing works that ever came, and nothing can be had for it.
    async fn is_dead(&self, history: &ClientHistory, client: &OAuthClient, newest: &Answer) {
        for pair in history.pairs.iter().chain([newest]) {
            assert_eq!(self.tool(WHOAMI, pair).await.0, 401, "{}", history.subject);
            let answer = client.refresh(pair.refresh_token()).await.expect("an answer");
            assert_eq!(answer.error(), Some("invalid_grant"), "{}", history.subject);
        }
        for (authorization, code) in &history.codes {
            let answer = client.redeem(authorization, code).await.expect("an answer");
            assert_eq!(answer.error(), Some("invalid_grant"), "{}", history.subject);
        }
        // The provider is told before it goes, in the background.
        until_nothing_is_left(async || {
            let kept = self.stored(history).await;
            kept.map(|_| format!("{}: the grant is still there", history.subject))
        })
        .await;
    }

    async fn tool(&self, path: &str, pair: &Answer) -> (u16, serde_json::Value) {
        tool(&self.network, &self.world.proxy.url, path, pair.access_token()).await.expect("an answer")
    }
}

/// An access token names the session, which has the name of its grant.
pub(crate) fn session_of(pair: &Answer) -> GrantId {
    let (_, encoded) = pair.access_token().split_once('_').expect("a reference token");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).expect("base64");
    GrantId::from_bytes(bytes[..16].try_into().expect("long enough"))
}

/// What an answer of the token endpoint hands out.
pub(crate) fn tokens(answer: &Answer) -> (&str, &str) {
    (answer.access_token(), answer.refresh_token())
}
