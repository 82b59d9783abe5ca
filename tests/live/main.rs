//! Proves the promises where they have to hold: at a real Keycloak and a real oidc-provider, on
//! real stores, over TCP, and in a real browser. Gates stand where a race has to be certain.
//!
//! Each test is ignored, as it needs servers: `tests/services/run -- cargo test --test live --
//! --include-ignored` starts them all.

mod app;
mod arrivals;
mod chromium;
mod gate;
mod naive;

#[path = "../bff/api.rs"]
mod api;
#[path = "../bff/echo.rs"]
mod echo;

mod back_channel;
mod browser;
mod callers;
mod client_auth;
mod demo;
mod dpop;
mod identity;
mod login;
mod outage;
mod outgoing;
mod pages;
mod processes;
mod refused;
mod stores;
mod storm;
mod two_logins;
