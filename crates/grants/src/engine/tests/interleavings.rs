//! Threads that ask, report and land in every order that the scheduler of shuttle can think of.

use std::{collections::HashSet, sync::Arc};

use portcullis_core::{AuthError, Generation, Reason, UnixTime};
use shuttle::{
    sync::{Condvar, Mutex},
    thread,
};
use tokio::time::Instant;

use super::{
    super::{
        Now,
        state::{Answer, Errand, Landing, Slot},
    },
    support::{LIFETIME, Number, first, response, tuning, unavailable},
    world::Fate,
};
use crate::TokenSet;

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
            Fate::Transient | Fate::Unexplained { .. } => Landing::Failed { error: unavailable(), ambiguous: false },
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
