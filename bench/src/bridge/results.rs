//! The measurements of the bridge.

use std::{
    error::Error,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use portcullis::{
    oauth::CodeVerifier,
    types::{BearerToken, VerifyToken},
    verify::{CacheConfig, CacheLayer},
};
use tokio::sync::Mutex;
use tower::{Layer as _, ServiceExt as _};

use super::{
    login::{self, Tokens},
    provider::Provider,
    site::Site,
};
use crate::throughput::{self, Connection};

/// The number of sessions in the store.
pub(crate) const SESSIONS: usize = 100_000;
/// The number of concurrent logins.
pub(crate) const USERS: usize = 32;
/// The number of logins that are measured; the others only fill the store.
const TIMED: usize = 4_000;
/// The number of clients that concurrently refresh or verify tokens.
pub(crate) const CALLERS: usize = 16;
/// The number of tokens in the cache.
const WARM: usize = 10_000;
const TIME: Duration = Duration::from_secs(5);

/// The results. Rates are per second.
pub(crate) struct Results {
    /// Logins, without the provider's share.
    pub(crate) logins: f64,
    /// Logins, with the provider's share.
    pub(crate) logins_with_provider: f64,
    pub(crate) refreshes: f64,
    pub(crate) bearer_cold: f64,
    pub(crate) bearer_warm: f64,
    /// The memory of this process with all sessions, in MiB.
    pub(crate) rss: f64,
    /// The memory before the first login, in MiB.
    pub(crate) rss_before: f64,
    /// The size of the database, in MiB.
    pub(crate) database: f64,
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs the measurements; `target` is a folder on the disk of the sources.
pub(crate) fn run(target: &Path) -> Result<Results, Box<dyn Error>> {
    let folder = target.join(format!("bridge-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder);
    fs::remove_dir_all(&folder)?;
    measured.map_err(|error| error as Box<dyn Error>)
}

fn measure(folder: &Path) -> Outcome<Results> {
    let provider = Provider::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let site = Arc::new(Site::new(folder, &provider.url).await?);
        let rss_before = rss()?;
        eprintln!("logins ..");
        let mut tokens = logins(&site, &provider, 0, TIMED / 8).await?.0;
        let (more, with_provider) = logins(&site, &provider, TIMED, TIMED).await?;
        tokens.extend(more);
        let share = provider_share(&site, &provider).await?;
        eprintln!("100,000 sessions ..");
        tokens.extend(logins(&site, &provider, 3 * TIMED, SESSIONS.saturating_sub(tokens.len())).await?.0);
        let rss = rss()?;
        eprintln!("refreshes, bearer tokens ..");
        let bearer_cold = bearers(site.bridge.verifier(), &tokens).await?;
        let cached = CacheLayer::new(CacheConfig::new()).layer(site.bridge.verifier());
        let warm = &tokens[..WARM];
        for token in warm {
            cached.clone().oneshot(BearerToken::new(&token.access)?).await?;
        }
        let bearer_warm = bearers(cached, warm).await?;
        let refreshes = refreshes(&site, &tokens).await?;
        let count = TIMED as f64;
        Ok(Results {
            logins: count / (with_provider.as_secs_f64() - share.as_secs_f64()),
            logins_with_provider: count / with_provider.as_secs_f64(),
            refreshes,
            bearer_cold,
            bearer_warm,
            rss,
            rss_before,
            database: fs::metadata(folder.join("bridge.db"))?.len() as f64 / 1024.0 / 1024.0,
        })
    })
}

/// Performs `count` concurrent logins of users numbered from `first`. Returns the elapsed time.
async fn logins(site: &Arc<Site>, provider: &Provider, first: usize, count: usize) -> Outcome<(Vec<Tokens>, Duration)> {
    let left = Arc::new(AtomicUsize::new(count));
    let begun = Instant::now();
    let users = connections(provider).await?.into_iter().map(|mut connection| {
        let (site, left) = (Arc::clone(site), Arc::clone(&left));
        tokio::spawn(async move {
            let mut tokens = Vec::new();
            while let Some(user) = take(&left) {
                tokens.push(login::log_in(&site, &mut connection, first + user).await?);
            }
            Outcome::Ok(tokens)
        })
    });
    let tokens = try_join_all(users).await?.into_iter().collect::<Outcome<Vec<_>>>()?.concat();
    Ok((tokens, begun.elapsed()))
}

/// Measures the provider's share of the same number of logins.
async fn provider_share(site: &Arc<Site>, provider: &Provider) -> Outcome<Duration> {
    let left = Arc::new(AtomicUsize::new(TIMED));
    let begun = Instant::now();
    let users = connections(provider).await?.into_iter().map(|mut connection| {
        let (site, left) = (Arc::clone(site), Arc::clone(&left));
        tokio::spawn(async move {
            while let Some(user) = take(&left) {
                login::provider_share(&site, &mut connection, &CodeVerifier::new([7; 32]), user).await?;
            }
            Outcome::Ok(())
        })
    });
    try_join_all(users).await?.into_iter().collect::<Outcome<()>>()?;
    Ok(begun.elapsed())
}

async fn connections(provider: &Provider) -> Outcome<Vec<Connection>> {
    let address = provider.url.strip_prefix("http://").ok_or("a loopback provider")?.parse()?;
    Ok(throughput::connect(address, USERS).await?)
}

fn take(left: &AtomicUsize) -> Option<usize> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()
}

/// Refreshes random sessions, each client in sequence.
async fn refreshes(site: &Arc<Site>, tokens: &[Tokens]) -> Outcome<f64> {
    let tokens: Arc<Vec<_>> = Arc::new(tokens.iter().map(|tokens| Mutex::new(tokens.refresh.clone())).collect());
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (site, tokens) = (Arc::clone(site), Arc::clone(&tokens));
        tokio::spawn(async move {
            let mut count = 0_usize;
            while begun.elapsed() < TIME {
                let mut token = tokens[rand::random_range(0..tokens.len())].lock().await;
                *token = login::refresh(&site.router, &token).await?.refresh;
                count += 1;
            }
            Outcome::Ok(count)
        })
    });
    rate(try_join_all(callers).await?, begun)
}

/// Verifies random tokens.
async fn bearers<V>(verifier: V, tokens: &[Tokens]) -> Outcome<f64>
where
    V: VerifyToken<Future: Send> + Clone + Send + 'static,
{
    let tokens: Vec<_> = tokens.iter().map(|tokens| BearerToken::new(&tokens.access)).collect::<Result<_, _>>()?;
    let tokens = Arc::new(tokens);
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (mut verifier, tokens) = (verifier.clone(), Arc::clone(&tokens));
        tokio::spawn(async move {
            let mut count = 0_usize;
            while begun.elapsed() < TIME {
                for _ in 0..16 {
                    let token = tokens[rand::random_range(0..tokens.len())].clone();
                    let user = verifier.ready().await?.call(token).await?;
                    std::hint::black_box(user);
                    count += 1;
                }
                tokio::task::yield_now().await;
            }
            Outcome::Ok(count)
        })
    });
    rate(try_join_all(callers).await?, begun)
}

fn rate(counts: Vec<Outcome<usize>>, begun: Instant) -> Outcome<f64> {
    let counts = counts.into_iter().sum::<Outcome<usize>>()?;
    Ok(counts as f64 / begun.elapsed().as_secs_f64())
}

/// Returns the resident memory of this process, in MiB.
fn rss() -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
