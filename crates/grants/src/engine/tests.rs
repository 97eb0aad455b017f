//! The state machine alone: against every order of events that chance finds, and against every interleaving of threads.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use portcullis_core::{AuthError, BearerToken, Generation, Reason, ScopeSet, UnixTime};
use portcullis_oauth::TokenResponse;
use proptest::{collection::vec, prelude::*};
use tokio::time::Instant;

use super::{
    Now,
    slot::{Answer, Errand, Flight, Landing, Slot, Tuning},
};
use crate::TokenSet;

const LIFETIME: Duration = Duration::from_secs(100);

/// The number of a flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Number(usize);

impl Flight for Number {
    fn is_lost(&self) -> bool {
        false
    }
}

fn tuning(spare_suspects: bool) -> Tuning {
    let window = |failures: u32, asked: Option<Duration>| {
        Duration::from_secs(1 << failures.min(5)).max(asked.unwrap_or_default())
    };
    Tuning { margin: Duration::from_secs(10), spare_suspects, jitter: || 0.0, window }
}

fn response(expires_in: Option<Duration>) -> TokenResponse {
    let mut response = TokenResponse::new(BearerToken::issued("token").expect("token"));
    response.refresh_token = Some("refresh".into());
    response.expires_in = expires_in;
    response
}

fn first(now: UnixTime) -> Arc<TokenSet> {
    Arc::new(TokenSet::of_login(response(Some(LIFETIME)), &ScopeSet::default(), now))
}

fn unavailable() -> AuthError {
    AuthError::new(Reason::ProviderUnavailable)
}

/// What may happen to a grant, in any order.
#[derive(Clone, Debug)]
enum Event {
    Ask,
    /// A token of up to so many generations ago is reported.
    Refuse(u64),
    /// Time goes by: seconds of both clocks.
    Pass(u64),
    /// The calendar is put forward, or back.
    Step(i64),
    Land(Fate),
    /// Somebody else has brought tokens, and they are saved: so many generations on.
    Settle(u64),
    /// The user logs out.
    End,
}

/// What becomes of the flight under way.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Exchanged { expires_in: Option<u64> },
    Transient,
    Ambiguous,
    Refused,
    Spared,
}

fn event() -> impl Strategy<Value = Event> {
    let fate = prop_oneof![
        6 => prop_oneof![Just(None), Just(Some(0)), (1..200_u64).prop_map(Some)]
            .prop_map(|expires_in| Fate::Exchanged { expires_in }),
        2 => Just(Fate::Transient),
        2 => Just(Fate::Ambiguous),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Spared),
    ];
    prop_oneof![
        6 => Just(Event::Ask),
        3 => (0..3_u64).prop_map(Event::Refuse),
        3 => (0..120_u64).prop_map(Event::Pass),
        1 => (-5000..5000_i64).prop_map(Event::Step),
        6 => fate.prop_map(Event::Land),
        1 => (0..3_u64).prop_map(Event::Settle),
        1 => prop_oneof![9 => Just(Event::Ask), 1 => Just(Event::End)],
    ]
}

/// A grant and everything that is known of it from outside.
struct World {
    slot: Slot<Number>,
    now: Now,
    flights: usize,
    under_way: Option<Errand>,
    current: Arc<TokenSet>,
    refused: HashSet<Generation>,
    /// How often the refresh token of a generation was presented, and whether the last time went unanswered.
    presented: HashMap<Generation, (usize, bool)>,
    exchanges: u64,
    /// By the monotonic clock.
    dies_at: Option<Instant>,
    /// The generation whose refresh token may be spent.
    suspect: Option<Generation>,
    resting_until: Option<Instant>,
    breaker_until: Option<Instant>,
    ended: bool,
    tuning: Tuning,
}

impl World {
    fn new(spare_suspects: bool) -> Self {
        let now = Now { monotonic: Instant::now(), calendar: UnixTime::from_secs(1_800_000_000) };
        let (mut slot, current) = (Slot::new(), first(now.calendar));
        slot.settle(now, &current, tuning(spare_suspects));
        Self {
            slot,
            now,
            flights: 0,
            under_way: None,
            current,
            refused: HashSet::new(),
            presented: HashMap::new(),
            exchanges: 0,
            dies_at: Some(now.monotonic + LIFETIME),
            suspect: None,
            resting_until: None,
            breaker_until: None,
            ended: false,
            tuning: tuning(spare_suspects),
        }
    }

    /// By either clock, or because somebody said so.
    fn is_dead(&self) -> bool {
        let by_calendar = self.current.expires_at().is_some_and(|end| self.now.calendar >= end);
        let by_age = self.dies_at.is_some_and(|end| self.now.monotonic >= end);
        by_calendar || by_age || self.refused.contains(&self.current.generation())
    }

    fn ask(&mut self, refused: Option<Generation>) {
        let is_current = refused == Some(self.current.generation());
        let in_breaker = self.breaker_until.is_some_and(|until| self.now.monotonic < until);
        if is_current && !in_breaker && !self.ended {
            self.refused.insert(self.current.generation());
        }
        let mut started = None;
        let number = Number(self.flights);
        let answer = self.slot.ask(self.now, refused, self.tuning, |errand| {
            started = Some(errand);
            number
        });
        if let Some(errand) = started {
            assert!(self.under_way.is_none(), "two flights at once");
            assert!(!self.ended, "a flight for a grant that has ended");
            assert!(self.resting_until.is_none_or(|until| self.now.monotonic >= until), "a flight in the window");
            assert_eq!(errand.dead, Some(self.current.generation()), "a flight for something else");
            let is_suspect = self.suspect == Some(self.current.generation());
            assert!(
                !self.tuning.spare_suspects || !is_suspect || self.is_dead(),
                "a token that may be spent is not spared"
            );
            self.flights += 1;
            self.under_way = Some(errand);
        }
        match answer {
            Answer::Tokens(tokens) => {
                assert!(!self.ended);
                assert!(!self.is_dead(), "a token known to be dead");
                assert_eq!(tokens.generation(), self.current.generation());
                assert!(refused.is_none_or(|refused| tokens.generation() > refused), "what was refused came back");
            }
            Answer::Wait { .. } => {
                assert!(self.under_way.is_some(), "a wait for nothing");
                assert!(self.is_dead(), "a wait although the token is good");
            }
            Answer::Fail(error) if self.ended => assert_eq!(error.reason(), Reason::GrantEnded),
            Answer::Fail(error) => {
                assert!(error.is_transient(), "logged out by a failure");
                assert!(error.retry_after().is_some(), "nobody says when to come back");
            }
        }
    }

    /// Tokens so many generations on, from elsewhere; older or equal ones change nothing.
    fn settle(&mut self, ahead: u64) {
        let mut tokens = Arc::clone(&self.current);
        for _ in 0..ahead {
            tokens = Arc::new(tokens.refreshed(response(Some(LIFETIME)), self.now.calendar));
        }
        self.slot.settle(self.now, &tokens, self.tuning);
        self.resting_until = None;
        if ahead > 0 {
            self.dies_at = Some(self.now.monotonic + LIFETIME);
            self.breaker_until = None;
            self.current = tokens;
        }
    }

    fn land(&mut self, fate: Fate) {
        let Some(errand) = self.under_way.take() else { return };
        if self.ended {
            let tokens = Arc::new(self.current.refreshed(response(Some(LIFETIME)), self.now.calendar));
            let outcome = self.slot.land(self.now, &errand, Landing::Exchanged(tokens), self.tuning);
            assert_eq!(outcome.expect_err("it ended meanwhile").reason(), Reason::GrantEnded);
            return;
        }
        let based_on = errand.known.clone().expect("tokens");
        let generation = based_on.generation();
        let spare = matches!(fate, Fate::Spared);
        if !spare {
            let (times, unanswered) = self.presented.entry(generation).or_default();
            assert!(*times == 0 || *unanswered, "a refresh token was presented twice");
            *times += 1;
            *unanswered = matches!(fate, Fate::Ambiguous | Fate::Transient);
        }
        let landing = match fate {
            Fate::Exchanged { expires_in } => {
                self.exchanges += 1;
                let renewed = based_on.refreshed(response(expires_in.map(Duration::from_secs)), self.now.calendar);
                let renewed = Arc::new(renewed);
                self.resting_until = None;
                // Somebody else may have brought newer ones meanwhile.
                if renewed.generation() > self.current.generation() {
                    self.current = Arc::clone(&renewed);
                    let life = self.current.expires_at().map(|end| end.saturating_duration_since(self.now.calendar));
                    self.dies_at = life.map(|life| self.now.monotonic + life);
                    self.breaker_until = errand.refused.then(|| self.now.monotonic + Duration::from_secs(10));
                }
                Landing::Exchanged(renewed)
            }
            Fate::Transient => Landing::Failed { error: unavailable(), ambiguous: false },
            Fate::Ambiguous => {
                self.suspect = Some(generation);
                Landing::Failed { error: unavailable(), ambiguous: true }
            }
            Fate::Refused => {
                self.ended = true;
                Landing::Ended { error: AuthError::new(Reason::GrantEnded), outlived: false }
            }
            Fate::Spared => {
                self.suspect = Some(generation);
                Landing::Spared
            }
        };
        let outcome = self.slot.land(self.now, &errand, landing, self.tuning);
        match fate {
            Fate::Exchanged { .. } | Fate::Spared => assert!(outcome.is_ok()),
            Fate::Refused => assert_eq!(outcome.expect_err("ended").reason(), Reason::GrantEnded),
            Fate::Transient | Fate::Ambiguous => {
                let error = outcome.expect_err("failed");
                self.resting_until = Some(self.now.monotonic + error.retry_after().expect("a window"));
            }
        }
        assert!(self.exchanges <= self.current.generation().number(), "more exchanges than generations");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_whatever_order_things_happen(spare in any::<bool>(), events in vec(event(), 1..120)) {
        let mut world = World::new(spare);
        for event in events {
            match event {
                Event::Ask => world.ask(None),
                Event::Refuse(ago) => {
                    let generation = world.current.generation().number().saturating_sub(ago);
                    world.ask(Some(Generation::new(generation)));
                }
                Event::Pass(seconds) => {
                    world.now.monotonic += Duration::from_secs(seconds);
                    world.now.calendar = world.now.calendar + Duration::from_secs(seconds);
                }
                Event::Step(seconds) if seconds < 0 => {
                    world.now.calendar = world.now.calendar.saturating_sub(Duration::from_secs(seconds.unsigned_abs()));
                }
                Event::Step(seconds) => world.now.calendar = world.now.calendar + Duration::from_secs(seconds.unsigned_abs()),
                Event::Land(fate) => world.land(fate),
                Event::Settle(ahead) => world.settle(ahead),
                Event::End => {
                    drop(world.slot.end(AuthError::new(Reason::GrantEnded), false));
                    world.ended = true;
                }
            }
        }
    }
}

#[test]
fn a_clock_that_is_put_back_prolongs_nothing() {
    let mut world = World::new(false);
    world.now.calendar = world.now.calendar.saturating_sub(Duration::from_secs(3600));
    world.now.monotonic += LIFETIME;
    world.ask(None);
    assert!(world.under_way.is_some());
}

#[test]
fn a_token_from_the_future_lives_no_longer_than_it_was_said_to() {
    let (monotonic, calendar) = (Instant::now(), UnixTime::from_secs(1_800_000_000));
    let mut slot = Slot::<Number>::new();
    slot.settle(Now { monotonic, calendar }, &first(calendar + Duration::from_secs(3600)), tuning(false));
    assert!(slot.peek(Now { monotonic, calendar }, None).is_some());
    assert!(slot.peek(Now { monotonic: monotonic + LIFETIME, calendar }, None).is_none());
}

#[test]
fn a_machine_that_slept_looks_at_the_calendar() {
    let mut world = World::new(false);
    world.now.calendar = world.now.calendar + LIFETIME;
    world.ask(None);
    assert!(world.under_way.is_some());
}

#[test]
fn a_token_that_may_be_spent_is_spared_while_there_is_another_way() {
    for spare in [true, false] {
        let mut world = World::new(spare);
        world.now.monotonic += Duration::from_secs(91);
        world.now.calendar = world.now.calendar + Duration::from_secs(91);
        world.ask(None);
        world.land(Fate::Ambiguous);
        world.now.monotonic += Duration::from_secs(2);
        world.ask(None);
        assert_eq!(world.under_way.is_none(), spare, "early");
        if spare {
            world.now.monotonic += Duration::from_secs(10);
            world.ask(None);
            assert!(world.under_way.is_some(), "it is the only hope left");
        }
    }
}

#[test]
fn a_fresh_token_that_is_refused_again_starts_no_chain_of_exchanges() {
    let mut world = World::new(false);
    world.ask(Some(Generation::new(0)));
    world.land(Fate::Exchanged { expires_in: Some(100) });
    world.ask(Some(Generation::new(1)));
    assert!(world.under_way.is_none(), "at once");
    world.ask(None);
    world.now.monotonic += Duration::from_secs(11);
    world.ask(Some(Generation::new(1)));
    assert!(world.under_way.is_some(), "after a while");
}

mod interleavings {
    //! Threads that ask, report and land in every order that the scheduler of shuttle can think of.

    use shuttle::{
        sync::{Condvar, Mutex},
        thread,
    };

    use super::*;

    struct Shared {
        slot: Mutex<(Slot<Number>, Seen)>,
        landed: Condvar,
        now: Now,
    }

    /// What the provider has seen.
    #[derive(Default)]
    struct Seen {
        flights: usize,
        presented: HashSet<Generation>,
        landed: usize,
        ended: usize,
    }

    impl Shared {
        fn new(now: Now) -> Arc<Self> {
            let mut slot = Slot::new();
            slot.settle(now, &first(UnixTime::from_secs(1_800_000_000)), tuning(true));
            Arc::new(Self { slot: Mutex::new((slot, Seen::default())), landed: Condvar::new(), now })
        }

        /// What the shell does: ask; fly if it is ours to fly; wait; ask again.
        fn token(self: &Arc<Self>, refused: Option<Generation>, fate: Fate) -> Result<Arc<TokenSet>, AuthError> {
            loop {
                let mut started = None;
                let mut guard = self.slot.lock().expect("lock");
                let number = Number(guard.1.flights);
                let answer = guard.0.ask(self.now, refused, tuning(true), |errand| {
                    started = Some(errand);
                    number
                });
                if let Some(errand) = started {
                    guard.1.flights += 1;
                    let this = Arc::clone(self);
                    thread::spawn(move || this.fly(&errand, fate));
                }
                match answer {
                    Answer::Tokens(tokens) => return Ok(tokens),
                    Answer::Fail(error) => return Err(error),
                    Answer::Wait { flight, .. } => {
                        while guard.1.landed <= flight.0 {
                            guard = self.landed.wait(guard).expect("lock");
                        }
                    }
                }
            }
        }

        fn fly(&self, errand: &Errand, fate: Fate) {
            let known = errand.known.clone().expect("tokens");
            {
                let mut guard = self.slot.lock().expect("lock");
                assert!(guard.1.presented.insert(known.generation()), "a refresh token was presented twice");
            }
            thread::yield_now();
            let mut guard = self.slot.lock().expect("lock");
            let landing = match fate {
                Fate::Refused => Landing::Ended { error: AuthError::new(Reason::GrantEnded), outlived: false },
                Fate::Transient => Landing::Failed { error: unavailable(), ambiguous: false },
                _ => Landing::Exchanged(Arc::new(known.refreshed(response(Some(LIFETIME)), self.now.calendar))),
            };
            guard.1.ended += usize::from(matches!(landing, Landing::Ended { .. }));
            drop(guard.0.land(self.now, errand, landing, tuning(true)));
            guard.1.landed += 1;
            self.landed.notify_all();
        }
    }

    fn now(seconds: u64) -> Now {
        Now { monotonic: Instant::now(), calendar: UnixTime::from_secs(1_800_000_000 + seconds) }
    }

    #[test]
    fn many_refusals_of_one_token_cause_one_exchange() {
        shuttle::check_random(
            || {
                let shared = Shared::new(now(0));
                let callers: Vec<_> = (0..4)
                    .map(|_| {
                        let shared = Arc::clone(&shared);
                        thread::spawn(move || {
                            shared.token(Some(Generation::new(0)), Fate::Exchanged { expires_in: None }).expect("token")
                        })
                    })
                    .collect();
                for caller in callers {
                    assert_eq!(caller.join().expect("caller").generation().number(), 1);
                }
                assert_eq!(shared.slot.lock().expect("lock").1.flights, 1);
            },
            3000,
        );
    }

    #[test]
    fn those_who_come_early_do_not_wait_and_one_exchange_runs() {
        shuttle::check_random(
            || {
                let shared = Shared::new(now(95));
                let callers: Vec<_> = (0..3)
                    .map(|number| {
                        let shared = Arc::clone(&shared);
                        let refused = (number == 2).then(|| Generation::new(0));
                        thread::spawn(move || shared.token(refused, Fate::Exchanged { expires_in: None }))
                    })
                    .collect();
                for caller in callers {
                    assert!(caller.join().expect("caller").is_ok());
                }
                assert_eq!(shared.slot.lock().expect("lock").1.flights, 1);
            },
            3000,
        );
    }

    #[test]
    fn a_dead_grant_and_a_failing_provider_are_asked_once() {
        for fate in [Fate::Refused, Fate::Transient] {
            shuttle::check_random(
                move || {
                    let shared = Shared::new(now(200));
                    let callers: Vec<_> = (0..4)
                        .map(|_| {
                            let shared = Arc::clone(&shared);
                            thread::spawn(move || shared.token(None, fate))
                        })
                        .collect();
                    for caller in callers {
                        let error = caller.join().expect("caller").expect_err("no token");
                        assert_eq!(error.is_transient(), matches!(fate, Fate::Transient));
                    }
                    assert_eq!(shared.slot.lock().expect("lock").1.flights, 1);
                },
                2000,
            );
        }
    }
}
