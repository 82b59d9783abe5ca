//! A strict identity provider and a clock you can move, for the tests of your own app (feature `testing`).
//!
//! [`StrictIssuer`] behaves like Keycloak with *Revoke Refresh Token* on and *Refresh Token Max Reuse* 0: every refresh
//! rotates the refresh token, and whoever presents a consumed one ends the whole login, the winner's newest tokens
//! included. An app that refreshes twice with one token is logged out here as it would be in production.
//!
//! A browser can log in there, too: the authorization endpoint (code flow, PKCE with S256 required) asks for no password, it
//! logs in `login_hint`, or `alice` without one, and sends the browser back at once. Any http or https `redirect_uri` will do, but
//! the exchange must name the same; a code is good once, for 60 s. The end session endpoint ends the session of its `id_token_hint`.
//!
//! It is a state machine without I/O. The same one answers
//! - as a function: [`StrictIssuer::handle`];
//! - in memory: [`StrictIssuer::transport`], which works with paused time;
//! - over wiremock: [`StrictIssuer::start_wiremock`] and [`StrictIssuer::mount`];
//! - over a real HTTP server: [`StrictIssuer::serve`].
//!
//! ```
//! use std::time::Duration;
//! use tower_token_refresh::testing::{ManualClock, StrictIssuer};
//!
//! let clock = ManualClock::new();
//! let issuer = StrictIssuer::builder()
//!     .clock(clock.clock())
//!     .access_token_lifetime(Duration::from_secs(300))
//!     .build();
//!
//! let tokens = issuer.log_in("alice");
//! let access_token = tokens["access_token"].as_str().unwrap();
//! assert!(issuer.is_access_token_live(access_token));
//!
//! clock.advance(Duration::from_secs(300));
//! assert!(!issuer.is_access_token_live(access_token));
//! ```

mod authorization;
mod builder;
mod client_auth;
mod clock;
mod gate;
mod grants;
mod http;
mod in_memory;
mod issuer;
mod probes;
mod script;
mod state;
mod tokens;
mod wire;
mod wiremock;

pub use self::{
    builder::StrictIssuerBuilder,
    clock::ManualClock,
    gate::Gate,
    http::IssuerServer,
    issuer::{AnswerLost, Endpoint, StrictIssuer},
    wiremock::WiremockIssuer,
};
