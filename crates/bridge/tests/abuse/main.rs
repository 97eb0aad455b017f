//! What strangers do to a bridge: too much, too often, and nothing that makes sense.

mod counted;
mod documents;
mod floods;
mod guesses;
mod nonsense;
mod oversized;
mod world;
