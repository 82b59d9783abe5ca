//! The provider ends logins (OpenID Connect Back-Channel Logout 1.0): only it can, and they end wherever they live.


mod ends;
mod form;
mod hung_index;
mod index;
mod log_in_races;
mod nameless;
mod outages;
#[path = "../providers/mod.rs"]
mod providers;
mod races;
mod servers;
#[allow(dead_code, reason = "other test files use the rest")]
#[path = "../live/stores.rs"]
mod stores;
mod validation;
mod world;
