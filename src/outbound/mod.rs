//! Tokens for calls that go out.

mod token_source;

pub use token_source::TokenSource;
