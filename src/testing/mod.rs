//! A clock you can move, for the tests of your own app (feature `testing`).

mod clock;

pub use self::clock::ManualClock;
