//! Tokens for calls that go out, for whoever outlives a request or never had one.

mod adopted;
mod bearer;
mod extracted;
mod streams;
