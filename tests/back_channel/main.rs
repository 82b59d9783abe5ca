//! The provider ends logins (OpenID Connect Back-Channel Logout 1.0): only it can, and they end wherever they live.

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod form;
mod index;
mod outages;
mod races;
mod validation;
mod world;
