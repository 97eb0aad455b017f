//! The metrics of a bridge. Their names are a stable interface.

use std::{collections::HashMap, fmt, hash::Hash};

use metrics::{Counter, Gauge, counter, gauge};
use portcullis_store::Collection;

use crate::{
    GrantType, collections,
    response::ErrorCode,
    session::{EndReason, ReuseSign},
};

/// The handles of all metrics. The recorder must be installed before the bridge is created.
pub(crate) struct Telemetry {
    logins: Counters<LoginOutcome>,
    tokens: Counters<(Option<GrantType>, Option<ErrorCode>)>,
    repeated: Counter,
    codes_repeated: Counter,
    reuse_suspected: Counters<ReuseSign>,
    registrations: Counters<Option<ErrorCode>>,
    ended: Counters<EndReason>,
    limited: Counters<RateLimitKind>,
    rows: HashMap<Collection, Gauge>,
}

/// The kind of a rate limit: a label of metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum RateLimitKind {
    /// Failed client authentications.
    Authentication,
    /// Invalid authorization codes, refresh tokens and assertions.
    Grants,
    /// Registrations.
    Registrations,
    /// Fetches of client metadata documents.
    Documents,
    /// Fetches of clients' key sets.
    KeySets,
    /// Client assertions and identity assertions.
    Assertions,
    /// Pending logins.
    Logins,
}

impl RateLimitKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Authentication,
        Self::Grants,
        Self::Registrations,
        Self::Documents,
        Self::KeySets,
        Self::Assertions,
        Self::Logins,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Grants => "grants",
            Self::Registrations => "registrations",
            Self::Documents => "documents",
            Self::KeySets => "key_sets",
            Self::Assertions => "assertions",
            Self::Logins => "logins",
        }
    }
}

/// The outcome of a login.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum LoginOutcome {
    /// The user was redirected to the provider.
    Begun,
    /// The client received a code.
    Completed,
    /// The user did not consent.
    Denied,
    /// The provider, or the user there, rejected the login.
    Refused,
    /// The provider or the store failed.
    Failed,
    /// A callback without a pending login in this browser.
    Foreign,
}

/// A counter for each of a closed set of labels.
struct Counters<L>(HashMap<L, Counter>);

impl Telemetry {
    pub(crate) fn new() -> Self {
        let grants = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::JwtBearer].map(Some);
        let refused = || ErrorCode::ALL.map(Some).into_iter().chain([None]);
        let tokens = grants.into_iter().chain([None]);
        let tokens = tokens.flat_map(|grant| refused().map(move |refused| (grant, refused)));
        Self {
            logins: Counters::new(
                LoginOutcome::ALL,
                |outcome| counter!("portcullis_bridge_logins_total", "outcome" => outcome.as_str()),
            ),
            tokens: Counters::new(tokens, |(grant, refused)| {
                let grant = grant.map_or("other", grant_type);
                let outcome = refused.map_or("issued", ErrorCode::as_str);
                counter!("portcullis_bridge_tokens_total", "grant" => grant, "outcome" => outcome)
            }),
            repeated: counter!("portcullis_bridge_refreshes_repeated_total"),
            codes_repeated: counter!("portcullis_bridge_codes_repeated_total"),
            reuse_suspected: Counters::new(
                ReuseSign::ALL,
                |sign| counter!("portcullis_bridge_refresh_reuse_suspected_total", "sign" => sign.as_str()),
            ),
            registrations: Counters::new(refused(), |refused| {
                let outcome = refused.map_or("registered", ErrorCode::as_str);
                counter!("portcullis_bridge_registrations_total", "outcome" => outcome)
            }),
            ended: Counters::new(
                EndReason::ALL,
                |reason| counter!("portcullis_bridge_sessions_ended_total", "reason" => reason.as_str()),
            ),
            limited: Counters::new(
                RateLimitKind::ALL,
                |what| counter!("portcullis_bridge_limited_total", "what" => what.as_str()),
            ),
            rows: collections::ALL
                .into_iter()
                .map(|table| (table, gauge!("portcullis_bridge_rows", "table" => table.as_str())))
                .collect(),
        }
    }

    pub(crate) fn login(&self, outcome: LoginOutcome) {
        self.logins.increment(outcome);
    }

    /// Counts a token request by grant type and error.
    pub(crate) fn tokens(&self, grant: Option<GrantType>, refused: Option<ErrorCode>) {
        self.tokens.increment((grant, refused));
    }

    /// Counts a repeated refresh.
    pub(crate) fn repeated(&self) {
        self.repeated.increment(1);
    }

    /// Counts a code that was redeemed again within the grace period.
    pub(crate) fn code_repeated(&self) {
        self.codes_repeated.increment(1);
    }

    /// Counts a sign of refresh token reuse.
    pub(crate) fn reuse_suspected(&self, sign: ReuseSign) {
        self.reuse_suspected.increment(sign);
    }

    /// Counts a registration by error.
    pub(crate) fn registration(&self, refused: Option<ErrorCode>) {
        self.registrations.increment(refused);
    }

    pub(crate) fn ended(&self, reason: EndReason) {
        self.ended.increment(reason);
    }

    pub(crate) fn limited(&self, what: RateLimitKind) {
        self.limited.increment(what);
    }

    pub(crate) fn rows(&self, table: Collection, rows: u64) {
        if let Some(gauge) = self.rows.get(&table) {
            gauge.set(rows as f64);
        }
    }
}

impl<L: Copy + Eq + Hash> Counters<L> {
    fn new(labels: impl IntoIterator<Item = L>, counter: impl Fn(L) -> Counter) -> Self {
        Self(labels.into_iter().map(|label| (label, counter(label))).collect())
    }

    fn increment(&self, label: L) {
        if let Some(counter) = self.0.get(&label) {
            counter.increment(1);
        }
    }
}

impl LoginOutcome {
    const ALL: [Self; 6] = [Self::Begun, Self::Completed, Self::Denied, Self::Refused, Self::Failed, Self::Foreign];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Completed => "completed",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Foreign => "foreign",
        }
    }
}

/// Returns the label of a grant type in metrics and in the log.
pub(crate) const fn grant_type(grant: GrantType) -> &'static str {
    match grant {
        GrantType::AuthorizationCode => "authorization_code",
        GrantType::RefreshToken => "refresh_token",
        GrantType::JwtBearer => "jwt_bearer",
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
