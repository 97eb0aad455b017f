//! [`World`]: a provider, a file, keys, and the address of a bridge.

use std::{
    collections::HashMap, env, fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf, process,
    sync::Arc, time::Duration,
};

use portcullis::{
    refresh::GrantStore,
    store::{KeyRing, Store},
    types::{Clock, GrantId, SystemClock},
};
use portcullis_test_support::{
    Browser, ClientError, Endpoint, IdentityProvider, Network, OAuthClient, RunningIdentityProvider, TokenPolicy,
};
use secrecy::ExposeSecret as _;

use super::{
    proxy::Proxy,
    server::{APP, Plan, REDIRECT_URI, Report, Site},
    waiting::until_nothing_is_left,
};
use crate::{
    child::Child,
    provider::Still,
    worker::{Ahead, open},
};

/// A provider, a file, keys, and the address of a bridge.
pub(crate) struct World {
    pub(crate) idp: IdentityProvider,
    pub(crate) proxy: Proxy,
    pub(crate) network: Network,
    provider: RunningIdentityProvider,
    folder: PathBuf,
}

/// A process behind the proxy.
pub(crate) struct Process {
    child: Child<Report>,
    port: u16,
}

impl World {
    /// `token_lifetime` is what the provider says of its access tokens, and `slowness` how long its answers are under way. Its own clock stands
    /// still: whatever it refuses has ended, and has not expired.
    pub(crate) async fn new(token_lifetime: Duration, slowness: Duration) -> Self {
        let idp = IdentityProvider::new().with_clock(Arc::new(Still(SystemClock::new().now())));
        idp.set_token_policy(TokenPolicy::new().with_access_token_lifetime(token_lifetime));
        idp.set_answer_latency(Endpoint::Token, slowness);
        let provider = idp.serve().await.expect("a port");
        let folder = env::temp_dir().join(format!("portcullis-bridge-{}-{:x}", process::id(), rand::random::<u64>()));
        fs::create_dir_all(&folder).expect("a folder");
        let keys = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join("keys"));
        writeln!(keys.expect("a file"), "{}", "5a".repeat(32)).expect("a key");
        Self { idp, proxy: Proxy::new().await, network: Network::new(), provider, folder }
    }

    fn database(&self) -> PathBuf {
        self.folder.join("portcullis.db")
    }

    fn plan(&self) -> Plan {
        Plan {
            database: self.database(),
            key_file: self.folder.join("keys"),
            issuer: self.proxy.url.clone(),
            provider: self.provider.url().to_owned(),
        }
    }

    /// A process behind the proxy.
    pub(crate) async fn start(&self) -> Process {
        let child = Child::run("bridge::server::a_bridge_of_its_own", &self.plan());
        let port = child.tells(|Report::Listening { port }| Some(*port)).await;
        self.proxy.open(port);
        Process { child, port }
    }

    /// Kills a process as `kill -9` does.
    pub(crate) async fn kill(&self, process: Process) {
        self.proxy.close(process.port);
        process.child.kill().await;
    }

    /// Lets a process come to its end.
    pub(crate) async fn stop(&self, process: Process) {
        self.proxy.close(process.port);
        process.child.stop().await;
    }

    /// The same in this process, without a socket, later by so much.
    pub(crate) async fn later(&self, ahead: Duration) -> Site {
        self.site(Arc::new(Ahead(ahead))).await
    }

    /// The same in this process, without a socket.
    pub(crate) async fn site(&self, clock: Arc<dyn Clock>) -> Site {
        Site::new(&self.plan(), clock).await
    }

    /// How many grants are in the file.
    pub(crate) async fn grants(&self) -> usize {
        let store = open(&self.database(), Arc::new(SystemClock::new())).await;
        store.page(GrantStore::COLLECTION, None, 10_000).await.expect("the file can be read").len()
    }

    /// The grants in the file, and the refresh token of each.
    pub(crate) async fn refresh_tokens(&self) -> HashMap<GrantId, String> {
        let store = open(&self.database(), Arc::new(SystemClock::new())).await;
        let rows = store.page(GrantStore::COLLECTION, None, 10_000).await.expect("the file can be read");
        let vault = GrantStore::new(Arc::new(store), KeyRing::from_file(self.plan().key_file).expect("keys"));
        let (vault, mut found) = (vault.expect("the keys are durable"), HashMap::new());
        for (key, _) in rows {
            let id = GrantId::from_bytes(key.id());
            let kept = vault.load(id).await.expect("the file can be read").expect("no other process holds it");
            let refresh_token = kept.record.tokens().refresh_token().expect("one");
            found.insert(id, refresh_token.expose_secret().to_owned());
        }
        found
    }

    /// Waits until there are no grants in the file: the provider is told before they go, in the background.
    pub(crate) async fn has_no_grants(&self) {
        until_nothing_is_left(async || match self.grants().await {
            0 => None,
            grants => Some(format!("{grants} grants are left")),
        })
        .await;
    }

    /// The client that the operator has configured.
    pub(crate) async fn app(&self) -> Result<OAuthClient, ClientError> {
        self.app_on(&self.network).await
    }

    /// The same on a network where something else answers at the address of the bridge.
    pub(crate) async fn app_on(&self, network: &Network) -> Result<OAuthClient, ClientError> {
        let client = OAuthClient::discover(network, &self.proxy.url).await?;
        Ok(client.with_client_id(APP).with_redirect_uri(REDIRECT_URI))
    }

    /// A network where `site` answers at the address of the bridge.
    pub(crate) fn network_with(&self, site: &Site) -> Network {
        Network::new().with_service(&self.proxy.url, site.router.clone())
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.network.clone()).with_stop_at(REDIRECT_URI)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
