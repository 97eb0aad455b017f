//! A provider that rotates refresh tokens, ends a grant when one is presented twice, and fails on command.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use portcullis_core::{AuthError, BearerToken, Reason};
use portcullis_oauth::TokenResponse;
use portcullis_refresh::{RefreshError, RefreshErrorKind, TokenSet};
use secrecy::ExposeSecret as _;
use tokio::time::sleep;
use tower::Service;

/// What the provider does with a refresh token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    Answer,
    OmitRefreshToken,
    /// It refuses the refresh token.
    Refuse,
    Fail {
        retry_after: Option<u64>,
    },
    NotSent,
    Misconfigured,
    /// It refuses for a reason that no standard defines. `accepted`: it accepted the credentials of this server before.
    Unexplained {
        accepted: bool,
    },
    /// It issues new tokens, and the response is lost.
    LoseAnswer,
    /// The request is lost.
    LoseRequest,
    /// It issues new tokens, and never responds.
    Hang,
    Panic,
}

#[derive(Clone)]
pub(crate) struct Provider(Arc<Mutex<State>>);

struct State {
    /// The number of the valid refresh token by the name of the grant; `None`: the grant is dead.
    live: HashMap<String, Option<u64>>,
    presented: HashMap<String, usize>,
    /// The refresh tokens that got new tokens or a refusal.
    settled: HashSet<String>,
    presented_after_result: usize,
    lost_answers: u64,
    script: VecDeque<Act>,
    usual: Act,
    latency: Duration,
    lifetime: Option<Duration>,
    exchanges: usize,
    rotations: usize,
}

impl Provider {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            live: HashMap::new(),
            presented: HashMap::new(),
            settled: HashSet::new(),
            presented_after_result: 0,
            lost_answers: 0,
            script: VecDeque::new(),
            usual: Act::Answer,
            latency: Duration::from_millis(50),
            lifetime: Some(Duration::from_secs(300)),
            exchanges: 0,
            rotations: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first tokens of a grant.
    pub(crate) fn log_in(&self, grant: &str) -> TokenResponse {
        let mut state = self.state();
        state.live.insert(grant.to_owned(), Some(0));
        state.response(grant, 0)
    }

    /// Sets the default act.
    pub(crate) fn always(&self, act: Act) {
        self.state().usual = act;
    }

    /// Sets the act for the next refresh token.
    pub(crate) fn next(&self, act: Act) {
        self.state().script.push_back(act);
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    pub(crate) fn set_lifetime(&self, lifetime: Option<Duration>) {
        self.state().lifetime = lifetime;
    }

    /// Returns the number of requests.
    pub(crate) fn requests(&self) -> usize {
        self.state().exchanges
    }

    /// Returns the number of times that it issued new tokens.
    pub(crate) fn rotations(&self) -> usize {
        self.state().rotations
    }

    /// Returns how often one refresh token was presented, at most.
    pub(crate) fn most_presented(&self) -> usize {
        self.state().presented.values().copied().max().unwrap_or_default()
    }

    /// Returns how often a refresh token was presented that had got new tokens or a refusal.
    pub(crate) fn presented_after_result(&self) -> usize {
        self.state().presented_after_result
    }

    /// Returns the number of lost responses with new tokens.
    pub(crate) fn lost_answers(&self) -> u64 {
        self.state().lost_answers
    }

    pub(crate) fn is_alive(&self, grant: &str) -> bool {
        self.state().live.get(grant).is_some_and(Option::is_some)
    }

    async fn refresh(self, tokens: Arc<TokenSet>) -> Result<TokenResponse, RefreshError> {
        let presented = tokens.refresh_token().expect("a refresh token").expose_secret().to_owned();
        let (act, latency) = {
            let mut state = self.state();
            state.exchanges += 1;
            let usual = state.usual;
            (state.script.pop_front().unwrap_or(usual), state.latency)
        };
        let unavailable = || AuthError::new(Reason::ProviderUnavailable);
        match act {
            Act::NotSent => return Err(RefreshError::not_sent(unavailable())),
            Act::Panic => unreachable!("the token refresh service panicked"),
            _ => self.state().receive(&presented),
        }
        sleep(latency / 2).await;
        let result = match act {
            Act::Refuse => Err(RefreshError::refused("invalid_grant")),
            Act::Fail { retry_after } => {
                let cause = unavailable();
                let cause = match retry_after {
                    Some(seconds) => cause.with_retry_after(Duration::from_secs(seconds)),
                    None => cause,
                };
                Err(RefreshError::transient(cause))
            }
            Act::Misconfigured => Err(RefreshError::misconfigured(AuthError::new(Reason::ClientRefused))),
            Act::Unexplained { accepted } => {
                let accepted_at = accepted.then(tokio::time::Instant::now);
                let error = RefreshError::unexplained(AuthError::new(Reason::UnknownRefusal));
                Err(error.with_accepted_at(accepted_at))
            }
            Act::LoseRequest => Err(RefreshError::ambiguous(unavailable())),
            _ => self.state().rotate(&presented),
        };
        sleep(latency / 2).await;
        self.state().record(&presented, act, &result);
        match act {
            Act::LoseAnswer => Err(RefreshError::ambiguous(unavailable())),
            Act::Hang => std::future::pending().await,
            Act::OmitRefreshToken => result.map(|mut response| {
                response.refresh_token = None;
                response
            }),
            _ => result,
        }
    }
}

impl State {
    fn response(&self, grant: &str, number: u64) -> TokenResponse {
        let mut response = TokenResponse::new(BearerToken::issued(&format!("access-{grant}-{number}")).expect("token"));
        response.refresh_token = Some(format!("refresh-{grant}-{number}").into());
        response.expires_in = self.lifetime;
        response
    }

    fn receive(&mut self, presented: &str) {
        *self.presented.entry(presented.to_owned()).or_default() += 1;
        self.presented_after_result += usize::from(self.settled.contains(presented));
    }

    /// Records the result for the refresh token.
    fn record(&mut self, presented: &str, act: Act, result: &Result<TokenResponse, RefreshError>) {
        let is_refused = |error: &RefreshError| error.kind() == RefreshErrorKind::Refused;
        if matches!(act, Act::LoseAnswer | Act::Hang) {
            self.lost_answers += u64::from(result.is_ok());
        } else if result.as_ref().map_or_else(is_refused, |_| act != Act::OmitRefreshToken) {
            self.settled.insert(presented.to_owned());
        }
    }

    /// Ends the grant if the refresh token is not the valid one.
    fn rotate(&mut self, presented: &str) -> Result<TokenResponse, RefreshError> {
        let (grant, number) = presented.strip_prefix("refresh-").and_then(|rest| rest.rsplit_once('-')).expect("ours");
        let number: u64 = number.parse().expect("a number");
        match self.live.get(grant) {
            Some(Some(live)) if *live == number => {
                self.live.insert(grant.to_owned(), Some(number + 1));
                self.rotations += 1;
                Ok(self.response(grant, number + 1))
            }
            _ => {
                self.live.insert(grant.to_owned(), None);
                Err(RefreshError::refused("invalid_grant"))
            }
        }
    }
}

impl Service<Arc<TokenSet>> for Provider {
    type Response = TokenResponse;
    type Error = RefreshError;
    type Future = Pin<Box<dyn Future<Output = Result<TokenResponse, RefreshError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RefreshError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, tokens: Arc<TokenSet>) -> Self::Future {
        Box::pin(self.clone().refresh(tokens))
    }
}
