//! The provider ends logins (OpenID Connect Back-Channel Logout 1.0): only it can, and they end wherever they live.


mod ends;
mod form;
mod hung_index;
mod index;
mod log_in_races;
mod nameless;
mod outages;
mod races;
mod servers;
mod validation;
mod world;
