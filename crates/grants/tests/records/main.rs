//! Records: what goes in comes out once, sealed on the way.

mod due;
mod failures;
mod rotation;
mod shelf;
mod texts;
mod values;
