//! A process with the file of grants, a refresher and handlers: this very program, started anew.

use std::{
    env,
    future::pending,
    io::{self, Read as _, Write as _},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use portcullis::{
    egress::{Egress, EgressConfig},
    oauth::{ClientAuthentication, providers::Provider},
    refresh::{GrantStore, Refresher, RefresherConfig},
    store::{KeyRing, Store},
    types::{Clock, GrantId, SystemClock, UnixTime},
    upstream::ProviderClient,
};
use portcullis_client::TokenManager;
use portcullis_store::conformance::{Call, FaultyStore};
use portcullis_store_file::{FileConfig, FileStore};
use portcullis_store_sqlite::{SqliteConfig, SqliteStore};
use portcullis_testkit::IdentityProvider;
use serde::Serialize;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    commands::{ALIVE, Asks, COMMANDS, Commands, Kept, MARK, Report},
    desktop,
};

/// The system's clock, ahead by so much: to be later without waiting.
#[derive(Debug)]
pub(crate) struct Ahead(pub(crate) Duration);

impl Clock for Ahead {
    fn now(&self) -> UnixTime {
        SystemClock::new().now() + self.0
    }
}

pub(crate) async fn open(database: &Path, clock: Arc<dyn Clock>) -> SqliteStore {
    SqliteStore::open(SqliteConfig::new(database).with_clock(clock)).await.expect("a store")
}

/// A store in a process that is to die between the answer to a refresh and its save: it reports the write, and never does it.
fn stopping(store: impl Store) -> FaultyStore {
    FaultyStore::new(store, |call| match call {
        Call::Swap(_) => {
            say(&Report::Saving);
            Box::pin(pending())
        }
        _ => FaultyStore::pass(),
    })
}

/// The grants in the store at `path`.
pub(crate) async fn grants(kept: Kept, path: &Path, clock: Arc<dyn Clock>) -> GrantStore {
    match kept {
        Kept::InDatabase => vault(open(path, clock).await),
        Kept::InFile => vault(open_file(path, clock).await),
    }
}

async fn open_file(path: &Path, clock: Arc<dyn Clock>) -> FileStore {
    FileStore::open(FileConfig::new(path).with_clock(clock)).await.expect("a store")
}

fn vault(store: impl Store) -> GrantStore {
    GrantStore::new(Arc::new(store), KeyRing::new([&[7; 32]]).expect("a key")).expect("the key is durable")
}

/// This program as a client of the provider `issuer`.
pub(crate) fn client(issuer: &str, clock: Arc<dyn Clock>) -> ProviderClient {
    let at = |path| format!("{issuer}{path}").parse().expect("a URL");
    let provider = Provider::oidc_at(issuer.parse().expect("an issuer"), at("/authorize"), at("/token"));
    let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).expect("a way out");
    ProviderClient::new(provider.with_userinfo_endpoint(at("/userinfo")), app, egress).with_clock(clock)
}

pub(crate) fn refresher(
    vault: GrantStore,
    client: &ProviderClient,
    clock: Arc<dyn Clock>,
    timeout: Duration,
) -> Refresher {
    let config = RefresherConfig::for_provider(client.provider()).with_refresh_timeout(timeout);
    Refresher::new(vault, client.clone(), config.with_clock(clock))
}

/// Says it before anything else happens in this task.
pub(crate) fn say(said: &impl Serialize) {
    let line = serde_json::to_string(said).expect("plain data");
    // The pipe is closed if the tests have failed.
    let _ = writeln!(io::stdout().lock(), "{MARK}{line}");
}

#[test]
#[ignore = "run by the other tests as a process of its own"]
fn a_process_of_its_own() {
    let Ok(commands) = env::var(COMMANDS) else { return };
    let commands: Commands = serde_json::from_str(&commands).expect("commands");
    tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(work(commands));
}

async fn work(commands: Commands) {
    let clock: Arc<dyn Clock> = Arc::new(Ahead(Duration::from_secs(commands.ahead)));
    let (path, of_store) = (&commands.database, Arc::clone(&clock));
    let vault = match (commands.stops_before_saving, commands.kept) {
        (false, kept) => grants(kept, path, of_store).await,
        (true, Kept::InDatabase) => vault(stopping(open(path, of_store).await)),
        (true, Kept::InFile) => vault(stopping(open_file(path, of_store).await)),
    };
    let client = client(&commands.issuer, Arc::clone(&clock));
    let limit = Duration::from_millis(commands.exchange_timeout_ms);
    let refresher = refresher(vault.clone(), &client, Arc::clone(&clock), limit);
    let stopped = standard_input_ends();
    say(&Report::Ready);
    let (mut tasks, mut managers) = (JoinSet::new(), Vec::new());
    for (grant, subject) in &commands.grants {
        let manager = (commands.asks == Asks::Manager)
            .then(|| desktop::manager(&client, subject, vault.clone(), Arc::clone(&clock), limit));
        managers.extend(manager.clone());
        for _ in 0..commands.tasks_per_grant {
            let handler = Handler {
                refresher: refresher.clone(),
                manager: manager.clone(),
                client: client.clone(),
                clock: Arc::clone(&clock),
                grant: grant.parse().expect("a grant"),
            };
            tasks.spawn(handler.ask_until(stopped.clone(), Duration::from_millis(commands.pause_ms)));
        }
    }
    tasks.join_all().await;
    let mut lost = refresher.shutdown().await;
    for manager in managers {
        lost += manager.shutdown().await;
    }
    say(&Report::Done { lost });
}

pub(crate) fn standard_input_ends() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        sender.send_replace(true);
    });
    receiver
}

struct Handler {
    refresher: Refresher,
    /// Asked in place of the refresher.
    manager: Option<TokenManager>,
    client: ProviderClient,
    clock: Arc<dyn Clock>,
    grant: GrantId,
}

impl Handler {
    async fn ask_until(self, mut stopped: watch::Receiver<bool>, pause: Duration) {
        loop {
            tokio::select! {
                goes_on = self.ask() => if !goes_on { return },
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            // The answer is an error if the time is over, which is as it should be.
            let rest = pause.mul_f64(rand::random_range(0.5..1.0));
            let _ = timeout(rest, stopped.wait_for(|stopped| *stopped)).await;
        }
    }

    /// Asks for a token, says that it has it, and uses it. Whether there is more to come.
    async fn ask(&self) -> bool {
        let (grant, asked_at) = (self.grant.to_string(), self.clock.now().as_nanos());
        let token = match &self.manager {
            Some(manager) => manager.acquire().await.map_err(|error| desktop::cause(&error)),
            None => self.refresher.upstream(self.grant).access_token().await,
        };
        let token = match token {
            Ok(token) => token,
            Err(error) if error.is_transient() => {
                say(&Report::Failed { grant, reason: error.reason().to_string() });
                sleep(Duration::from_millis(100)).await;
                return true;
            }
            Err(error) => {
                let is_login_needed = error.kind() == portcullis::types::AuthErrorKind::InvalidToken;
                say(&Report::Ended { grant, reason: error.reason().to_string(), is_login_needed });
                return false;
            }
        };
        let (generation, expires_at) = (token.generation().number(), token.expires_at().expect("it was told"));
        say(&Report::Handed { grant: grant.clone(), generation, asked_at, expires_at: expires_at.as_nanos() });
        let outcome = match self.client.profile(&token).await {
            Ok(profile) if profile.subject() == grant => ALIVE.to_owned(),
            Ok(_) => "of another grant".to_owned(),
            Err(error) => error.reason().to_string(),
        };
        say(&Report::Used { grant, generation, outcome });
        true
    }
}
