//! [`RefreshFuture`]: tokens at once, or the wait for a flight.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use portcullis_core::{AuthError, Generation, Reason};

use crate::{
    TokenSet,
    engine::{Answer, Cell, Hangar, Waiting},
};

/// Future for [`Refresher`](crate::Refresher). Dropping it cancels nothing: the exchange it waits for goes on.
#[must_use = "futures do nothing unless polled"]
pub struct RefreshFuture(State);

type Outcome = Result<Arc<TokenSet>, AuthError>;

enum State {
    /// Empty once it has been given out.
    Ready(Option<Outcome>),
    Waiting {
        flight: Waiting,
        question: Question,
    },
}

struct Question {
    hangar: Arc<Hangar>,
    cell: Arc<Cell>,
    refused: Option<Generation>,
    /// How many flights more it waits for, if what they bring is dead by the time it is seen.
    patience: u32,
}

/// How many flights a request waits for.
const FLIGHTS: u32 = 3;

impl RefreshFuture {
    pub(super) fn ask(hangar: Arc<Hangar>, cell: Arc<Cell>, refused: Option<Generation>) -> Self {
        let answer = hangar.ask(&cell, refused);
        Self(Question { hangar, cell, refused, patience: FLIGHTS }.digest(answer))
    }
}

impl Question {
    fn ask_again(self) -> State {
        let answer = self.hangar.ask_again(&self.cell, self.refused);
        self.digest(answer)
    }

    fn digest(mut self, answer: Answer<Waiting>) -> State {
        match answer {
            Answer::Tokens(tokens) => State::Ready(Some(Ok(tokens))),
            Answer::Fail(error) => State::Ready(Some(Err(error))),
            Answer::Wait { .. } if self.patience == 0 => {
                let error = AuthError::new(Reason::ProviderMisbehaved).with_source("tokens that are dead on arrival");
                State::Ready(Some(Err(error)))
            }
            Answer::Wait { flight, .. } => {
                self.patience -= 1;
                State::Waiting { flight, question: self }
            }
        }
    }
}

impl Future for RefreshFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match &mut self.0 {
                State::Ready(outcome) => {
                    return Poll::Ready(outcome.take().expect("a future is not polled after it was done"));
                }
                State::Waiting { flight, .. } => {
                    let landed = ready!(Pin::new(flight).poll(cx));
                    let State::Waiting { question, .. } = std::mem::replace(&mut self.0, State::Ready(None)) else {
                        unreachable!("it was waiting");
                    };
                    self.0 = match landed {
                        Err(error) => State::Ready(Some(Err(error))),
                        // It may have been for somebody who wanted less, or long ago.
                        Ok(_) => question.ask_again(),
                    };
                }
            }
        }
    }
}

impl fmt::Debug for RefreshFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshFuture").finish_non_exhaustive()
    }
}
