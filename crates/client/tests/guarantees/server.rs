//! [`Server`]: an authorization server with single-use refresh tokens, and the resource server that accepts its access tokens. Both fail on
//! command. As a [`Grant`] it is its own client.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_client::{
    AccessToken, Binding, Challenge, Grant, GrantError, GrantErrorKind, GrantFuture, Issuer, ResourceUri, ScopeSet,
};
use portcullis_core::{AuthError, BearerToken, Reason};
use portcullis_oauth::TokenResponse;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep};

/// What the server does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    Answer,
    /// It answers without a refresh token: the presented one stays valid.
    OmitRefreshToken,
    /// `invalid_grant`, or a user who declines.
    Refuse,
    Fail {
        retry_after: Option<u64>,
    },
    NotSent,
    Misconfigured,
    /// It issues new tokens, and the response is lost.
    LoseAnswer,
    /// The request is lost.
    LoseRequest,
    /// It issues new tokens, and never answers.
    Hang,
    Panic,
}

#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    kind: Kind,
    resource: ResourceUri,
}

/// How tokens are had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// By a user, who logs in; then by refresh tokens.
    User,
    /// Without refresh tokens, as client credentials.
    Client,
    /// Without a user, and with refresh tokens.
    Both,
}

pub(crate) struct State {
    pub(crate) issuer: String,
    /// Which subject the binding has.
    pub(crate) subject: Option<&'static str>,
    /// The number of the last tokens.
    pub(crate) last: u64,
    /// The valid refresh token of the login, by its number. `None`: there is no login.
    pub(crate) live: Option<u64>,
    /// The access tokens that the resource accepts.
    pub(crate) accepted: HashSet<String>,
    /// Whether new tokens end the access tokens before.
    pub(crate) revokes_previous: bool,
    /// Whether the resource refuses every token.
    pub(crate) refuses_all: bool,
    pub(crate) script: VecDeque<Act>,
    pub(crate) usual: Act,
    pub(crate) latency: Duration,
    pub(crate) lifetime: Option<Duration>,
    /// The scopes that are never granted.
    pub(crate) withheld: ScopeSet,
    /// Whether the response names the granted scopes.
    pub(crate) names_scopes: bool,
    /// Whether access tokens are JWTs that contain this expiry.
    pub(crate) claimed_expiry: Option<u64>,
    pub(crate) asked: Vec<ScopeSet>,
    pub(crate) refreshes: usize,
    pub(crate) obtained: usize,
    pub(crate) resolved: usize,
    pub(crate) resolve_acts: VecDeque<Act>,
    /// How many token requests are in progress, and how many there were at once at most.
    pub(crate) running: usize,
    pub(crate) most_running: usize,
    presented: HashMap<String, usize>,
    settled: HashSet<String>,
    pub(crate) presented_after_result: usize,
    pub(crate) lost_answers: usize,
    /// The user has answered, and the tokens are on their way.
    redeeming: bool,
    issued_at: HashMap<String, Instant>,
}

impl Server {
    pub(crate) fn new(kind: Kind) -> Self {
        let state = State {
            issuer: "https://as.example".to_owned(),
            subject: None,
            last: 0,
            live: None,
            accepted: HashSet::new(),
            revokes_previous: false,
            refuses_all: false,
            script: VecDeque::new(),
            usual: Act::Answer,
            latency: Duration::from_millis(20),
            lifetime: Some(Duration::from_secs(300)),
            withheld: ScopeSet::default(),
            names_scopes: true,
            claimed_expiry: None,
            asked: Vec::new(),
            refreshes: 0,
            obtained: 0,
            resolved: 0,
            resolve_acts: VecDeque::new(),
            running: 0,
            most_running: 0,
            presented: HashMap::new(),
            settled: HashSet::new(),
            presented_after_result: 0,
            lost_answers: 0,
            redeeming: false,
            issued_at: HashMap::new(),
        };
        let resource = ResourceUri::new("https://mcp.example/mcp").expect("a resource");
        Self { state: Arc::new(Mutex::new(state)), kind, resource }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next(&self, act: Act) {
        self.state().script.push_back(act);
    }

    pub(crate) fn always(&self, act: Act) {
        self.state().usual = act;
    }

    /// Returns the number of token requests.
    pub(crate) fn exchanges(&self) -> usize {
        let state = self.state();
        state.refreshes + state.obtained
    }

    /// Returns how often one refresh token was presented, at most.
    pub(crate) fn most_presented(&self) -> usize {
        self.state().presented.values().copied().max().unwrap_or_default()
    }

    /// Returns how long ago `token` was issued.
    pub(crate) fn age(&self, token: &AccessToken) -> Duration {
        self.state().issued_at.get(token.expose_secret()).expect("ours").elapsed()
    }

    /// Refuses `token` from now on.
    pub(crate) fn revoke(&self, token: &AccessToken) {
        self.state().accepted.remove(token.expose_secret());
    }

    /// Answers a request with `token`, as a resource server does.
    pub(crate) fn serve(&self, token: &AccessToken) -> Result<(), Challenge> {
        let state = self.state();
        let is_accepted = !state.refuses_all && state.accepted.contains(token.expose_secret());
        if is_accepted { Ok(()) } else { Err(invalid_token()) }
    }

    async fn request(&self, presented: Option<String>, scopes: ScopeSet) -> Result<TokenResponse, GrantError> {
        let _running = Running::new(self);
        let (act, latency) = {
            let mut state = self.state();
            let usual = state.usual;
            (state.script.pop_front().unwrap_or(usual), state.latency)
        };
        match act {
            Act::NotSent => return Err(GrantError::not_sent(unavailable())),
            Act::Panic => unreachable!("the grant panics"),
            _ => {}
        }
        if let Some(presented) = &presented {
            let mut state = self.state();
            *state.presented.entry(presented.clone()).or_default() += 1;
            state.presented_after_result += usize::from(state.settled.contains(presented));
        }
        sleep(latency / 2).await;
        self.state().redeeming |= presented.is_none();
        let result = match act {
            Act::Refuse => Err(GrantError::refused("invalid_grant")),
            Act::Fail { retry_after } => {
                let cause = unavailable();
                Err(GrantError::transient(match retry_after {
                    Some(seconds) => cause.with_retry_after(Duration::from_secs(seconds)),
                    None => cause,
                }))
            }
            Act::Misconfigured => Err(GrantError::misconfigured(AuthError::new(Reason::ClientRefused))),
            Act::LoseRequest => Err(GrantError::ambiguous(unavailable())),
            _ => self.state().issue(presented.as_deref(), self.kind, &scopes),
        };
        sleep(latency / 2).await;
        {
            let mut state = self.state();
            state.redeeming &= presented.is_some() || act == Act::Hang;
            let is_lost = matches!(act, Act::LoseAnswer | Act::Hang);
            state.lost_answers += usize::from(is_lost && result.is_ok());
            if let Some(presented) = presented.filter(|_| !is_lost) {
                state.settle(presented, act, &result);
            }
        }
        match act {
            Act::LoseAnswer => Err(GrantError::ambiguous(unavailable())),
            Act::Hang => std::future::pending().await,
            Act::OmitRefreshToken => result.map(|mut response| {
                response.refresh_token = None;
                response
            }),
            _ => result,
        }
    }
}

pub(crate) fn invalid_token() -> Challenge {
    Challenge::bearer().with("error", "invalid_token")
}

fn unavailable() -> AuthError {
    AuthError::new(Reason::ProviderUnavailable)
}

/// A token request in progress.
struct Running(Server);

impl Running {
    fn new(server: &Server) -> Self {
        let mut state = server.state();
        state.running += 1;
        state.most_running = state.most_running.max(state.running);
        drop(state);
        Self(server.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state().running -= 1;
    }
}

impl State {
    fn issue(&mut self, presented: Option<&str>, kind: Kind, scopes: &ScopeSet) -> Result<TokenResponse, GrantError> {
        if let Some(presented) = presented {
            let number: u64 = presented.strip_prefix("refresh-").and_then(|number| number.parse().ok()).expect("ours");
            if self.live != Some(number) {
                // Reuse ends the login.
                self.live = None;
                return Err(GrantError::refused("invalid_grant"));
            }
        }
        self.last += 1;
        let number = self.last;
        let text = match self.claimed_expiry {
            Some(expiry) => jwt(number, expiry),
            None => format!("access-{number}"),
        };
        if self.revokes_previous {
            self.accepted.clear();
        }
        self.accepted.insert(text.clone());
        self.issued_at.insert(text.clone(), Instant::now());
        let mut response = TokenResponse::new(BearerToken::issued(&text).expect("a token"));
        response.expires_in = self.lifetime;
        if kind != Kind::Client {
            self.live = Some(number);
            response.refresh_token = Some(format!("refresh-{number}").into());
        }
        if presented.is_none() && self.names_scopes {
            let granted = scopes.iter().filter(|scope| !self.withheld.contains(scope));
            response.scopes = Some(ScopeSet::new(granted).expect("scopes"));
        }
        Ok(response)
    }

    /// Records that the client knows the result of a refresh token.
    fn settle(&mut self, presented: String, act: Act, result: &Result<TokenResponse, GrantError>) {
        let is_refused = |error: &GrantError| error.kind() == GrantErrorKind::Refused;
        if result.as_ref().map_or_else(is_refused, |_| act != Act::OmitRefreshToken) {
            self.settled.insert(presented);
        }
    }
}

/// Returns a token in the form of a JWT that claims this expiry.
fn jwt(number: u64, expiry: u64) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        encode(r#"{"alg":"RS256"}"#.to_owned()),
        encode(format!(r#"{{"exp":{expiry},"jti":"{number}"}}"#)),
        encode("signature".to_owned())
    )
}

impl Grant for Server {
    fn resource(&self) -> &ResourceUri {
        &self.resource
    }

    fn name(&self) -> &'static str {
        "fake"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async {
            let act = {
                let mut state = self.state();
                state.resolved += 1;
                state.resolve_acts.pop_front().unwrap_or(Act::Answer)
            };
            sleep(Duration::from_millis(20)).await;
            if act != Act::Answer {
                return Err(GrantError::transient(unavailable()));
            }
            let state = self.state();
            let issuer = Issuer::new(&state.issuer).expect("an issuer");
            let binding = Binding::new(self.resource.clone(), issuer, "client");
            let binding = binding.with_scopes(ScopeSet::parse("read").expect("scopes"));
            Ok(match state.subject {
                Some(subject) => binding.with_subject(subject),
                None => binding,
            })
        })
    }

    fn obtain<'a>(&'a self, _: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        let mut state = self.state();
        state.obtained += 1;
        state.asked.push(scopes.clone());
        drop(state);
        Box::pin(self.request(None, scopes.clone()))
    }

    fn refresh<'a>(&'a self, _: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        self.state().refreshes += 1;
        Box::pin(self.request(Some(refresh_token.expose_secret().to_owned()), ScopeSet::default()))
    }

    fn is_interactive(&self) -> bool {
        self.kind == Kind::User
    }

    fn is_redeeming(&self) -> bool {
        self.state().redeeming
    }

    fn stored_as(&self) -> Option<String> {
        (self.kind == Kind::User).then(|| self.state().subject.unwrap_or_default().to_owned())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}
