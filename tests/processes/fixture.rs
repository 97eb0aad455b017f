//! [`World`]: a provider, a file, and who logs in.

use std::{
    collections::HashMap,
    env, fs,
    path::PathBuf,
    process,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis::{
    oauth::TokenResponse,
    refresh::{GrantStore, Refresher, TokenSet},
    types::{BearerToken, Clock, GrantId, ScopeSet, SystemClock},
};
use tokio::task::JoinHandle;

use crate::{
    commands::{Asks, Commands, Kept},
    desktop,
    provider::Observed,
    worker::{client, grants, refresher},
};

/// A provider, and a file of grants.
pub(crate) struct World {
    pub(crate) provider: Observed,
    pub(crate) issuer: String,
    vault: GrantStore,
    /// Grants begin with it. No task asks it for tokens.
    refresher: Refresher,
    token_lifetime: Duration,
    kept: Kept,
    asks: Asks,
    /// The subject of the binding of each grant.
    subjects: Mutex<HashMap<GrantId, String>>,
    folder: PathBuf,
    server: JoinHandle<()>,
}

impl World {
    /// `token_lifetime` is what the provider says of its access tokens.
    pub(crate) async fn with(kept: Kept, asks: Asks, token_lifetime: Duration, slowness: Duration) -> Self {
        let (provider, issuer, server) = Observed::serve(token_lifetime, slowness).await;
        let folder =
            env::temp_dir().join(format!("portcullis-processes-{}-{:x}", process::id(), rand::random::<u64>()));
        fs::create_dir_all(&folder).expect("a folder");
        let clock = Arc::new(SystemClock::new());
        let vault = grants(kept, &folder.join("portcullis.db"), clock.clone()).await;
        let client = client(&issuer, clock.clone());
        let refresher = refresher(vault.clone(), &client, clock, Duration::from_secs(12));
        let subjects = Mutex::default();
        Self { provider, issuer, vault, refresher, token_lifetime, kept, asks, subjects, folder, server }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("portcullis.db")
    }

    /// The grants in the store, to a process whose clock is `clock`.
    pub(crate) async fn grants(&self, clock: Arc<dyn Clock>) -> GrantStore {
        grants(self.kept, &self.database(), clock).await
    }

    /// Logs in `count` users, `ago` before now.
    pub(crate) async fn log_in(&self, users: usize, ago: Duration) -> Vec<GrantId> {
        let mut grants = Vec::new();
        for _ in 0..users {
            let subject = format!("{:x}", rand::random::<u128>());
            let grant =
                desktop::binding(&self.issuer.parse().expect("an issuer"), &subject).grant_id("authorization_code");
            self.subjects.lock().expect("a lock").insert(grant, subject);
            let (access_token, refresh_token) = self.provider.issue(grant);
            let mut response = TokenResponse::new(BearerToken::issued(&access_token).expect("a token"));
            (response.refresh_token, response.expires_in) = (Some(refresh_token.into()), Some(self.token_lifetime));
            let tokens =
                TokenSet::from_login(response, &ScopeSet::default(), SystemClock::new().now().saturating_sub(ago));
            self.refresher.create(grant, tokens).await.expect("a new grant");
            grants.push(grant);
        }
        grants
    }

    /// Commands for a process that asks for `grants`.
    pub(crate) fn commands(&self, grants: impl IntoIterator<Item = GrantId>) -> Commands {
        let subjects = self.subjects.lock().expect("a lock");
        Commands {
            database: self.database(),
            kept: self.kept,
            asks: self.asks,
            issuer: self.issuer.clone(),
            grants: grants.into_iter().map(|grant| (grant.to_string(), subjects[&grant].clone())).collect(),
            tasks_per_grant: 2,
            pause_ms: 100,
            exchange_timeout_ms: 12_000,
            ahead: 0,
            stops_before_saving: false,
        }
    }

    /// The tokens in the file.
    pub(crate) async fn stored(&self, grant: GrantId) -> Option<Arc<TokenSet>> {
        let kept = self.vault.load(grant).await.expect("the file can be read");
        kept.map(|kept| Arc::clone(kept.record.tokens()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
