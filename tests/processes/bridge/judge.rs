//! [`Judge`]: what there is when nobody is killed any more, against what clients have received.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use portcullis::{
    core::GrantId,
    grants::{
        TokenSet,
        records::{Collection, RecordStore as _},
    },
};
use portcullis_testkit::{Answer, Network, OAuthClient};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{
    asking::{UPSTREAM, WHOAMI, tool},
    life::Life,
    site::Site,
    waiting::until_nothing_is_left,
    world::World,
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
    /// As that, and somebody has noticed before.
    Ended,
    /// Its client has ended it.
    Revoked,
}

/// A bridge on the same file, later, that nobody kills.
pub(crate) struct Judge<'a> {
    world: &'a World,
    site: Site,
    network: Network,
    client: OAuthClient,
}

impl<'a> Judge<'a> {
    pub(crate) async fn new(world: &'a World) -> Self {
        let site = world.later(LATER).await;
        let network = world.network_with(&site);
        let client = world.app_on(&network).await.expect("metadata");
        Self { world, site, network, client }
    }

    /// Lets a session live to its end.
    pub(crate) async fn judge(&self, life: &Life) -> Verdict {
        let client = self.client.clone().with_client_id(&life.client_id);
        let stored = self.stored(life).await.filter(|_| !life.is_revoked);
        let Some(stored) = stored else {
            assert_eq!(client.refresh(life.newest().refresh_token()).await.expect("an answer").status(), 400);
            self.is_dead(life, &client, life.newest()).await;
            return if life.is_revoked { Verdict::Revoked } else { Verdict::Ended };
        };
        for pair in &life.pairs {
            self.works(pair, life).await;
        }
        let newest = client.refresh(life.newest().refresh_token()).await.expect("an answer");
        assert_eq!(newest.status(), 200, "{}: {newest:?}", life.subject);
        self.works(&newest, life).await;
        let verdict = self.use_upstream(life, &newest, &stored).await;
        if verdict == Verdict::Alive {
            let again = client.refresh(life.newest().refresh_token()).await.expect("an answer");
            assert_eq!(tokens(&again), tokens(&newest), "{}: a repetition", life.subject);
            self.works(&newest, life).await;
        }
        let last = self.stored(life).await;
        // The first that ever came has had a successor that was used.
        let oldest = client.refresh(life.pairs[0].refresh_token()).await.expect("an answer");
        assert_eq!(oldest.error(), Some("invalid_grant"), "{}", life.subject);
        self.is_dead(life, &client, &newest).await;
        if let Some(last) = last {
            let refresh_token = last.refresh_token().expect("one").expose_secret();
            assert!(!self.world.idp.is_refreshable(refresh_token), "{}: the provider was not told", life.subject);
        }
        verdict
    }

    /// What is left when all sessions have been judged: nothing, not even of logins that nobody has heard the end of.
    pub(crate) async fn has_nothing_left(&self) {
        until_nothing_is_left(async || {
            let sessions = self.site.store.count(Collection::SESSIONS).await.expect("the file can be read");
            let grants = self.world.grants().await;
            ((sessions, grants) != (0, 0)).then(|| format!("{sessions} sessions and {grants} grants are left"))
        })
        .await;
        assert_eq!(self.site.bridge.shutdown().await, 0);
    }

    /// What is kept of the grant.
    async fn stored(&self, life: &Life) -> Option<Arc<TokenSet>> {
        let kept = self.site.vault.load(session_of(life.newest())).await.expect("the file can be read");
        kept.map(|kept| Arc::clone(kept.record.tokens()))
    }

    /// The refresh token in the file is the provider's newest, unless the answer with a newer one came to nobody who lives.
    async fn use_upstream(&self, life: &Life, newest: &Answer, stored: &TokenSet) -> Verdict {
        let (idp, subject, generation) = (&self.world.idp, &life.subject, stored.generation().number());
        assert!(life.generation <= generation, "{subject}: what was handed out was not saved");
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

    async fn works(&self, pair: &Answer, life: &Life) {
        assert_eq!(self.tool(WHOAMI, pair).await, (200, json!({ "subject": life.subject })));
    }

    /// Nothing works that ever came, and nothing can be had for it.
    async fn is_dead(&self, life: &Life, client: &OAuthClient, newest: &Answer) {
        for pair in life.pairs.iter().chain([newest]) {
            assert_eq!(self.tool(WHOAMI, pair).await.0, 401, "{}", life.subject);
            let answer = client.refresh(pair.refresh_token()).await.expect("an answer");
            assert_eq!(answer.error(), Some("invalid_grant"), "{}", life.subject);
        }
        for (authorization, code) in &life.codes {
            let answer = client.redeem(authorization, code).await.expect("an answer");
            assert_eq!(answer.error(), Some("invalid_grant"), "{}", life.subject);
        }
        // The provider is told before it goes, and nobody waits for that.
        until_nothing_is_left(async || {
            let kept = self.stored(life).await;
            kept.map(|_| format!("{}: the grant is still there", life.subject))
        })
        .await;
    }

    async fn tool(&self, path: &str, pair: &Answer) -> (u16, serde_json::Value) {
        tool(&self.network, &self.world.front.url, path, pair.access_token()).await.expect("an answer")
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
