//! The provider ends logins (OpenID Connect Back-Channel Logout 1.0): only it can, and they end in
//! every session that points to them.

mod ends;
mod form;
mod hung_store;
mod log;
mod log_in_races;
mod nameless;
mod names;
mod outages;
mod races;
mod validation;
mod world;
