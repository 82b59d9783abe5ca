//! A strict identity provider and a movable clock, for the tests of your own application (feature
//! `testing`).
//!
//! [`StrictIssuer`] behaves like Keycloak with *Revoke Refresh Token* on and *Refresh Token Max
//! Reuse* 0, or [like](StrictIssuerBuilder::like) node's oidc-provider. Every refresh rotates the
//! refresh token, and whoever presents a consumed one ends the whole login, with its newest tokens.
//! An application that refreshes twice with one token loses its login here, as it would in
//! production.
//!
//! A browser can log in there, too. The authorization endpoint (code flow; PKCE with S256 is
//! required) wants no password: it logs in `login_hint`, or `alice` without one, and sends the
//! browser back at once. Any http or https `redirect_uri` is accepted, but the exchange must name
//! the same one. A code is good once, for 60 s. The end session endpoint ends the session of its
//! `id_token_hint`.
//!
//! # The two providers
//! When a consumed refresh token comes back, both end every refresh and access token of this
//! browser's logins at the client. Another browser keeps its own. The same tests run against this
//! issuer, Keycloak 26.4.0 and oidc-provider 9.13.3 (`tests/provider_contract`), so these rows are
//! true of all three:
//!
//! | what | Keycloak 26.4 | oidc-provider 9.13 |
//! |---|---|---|
//! | access and refresh tokens | JWTs | opaque |
//! | `session_state`, `refresh_expires_in` in the answer, `sid` in the ID token | yes | no |
//! | ID token and `scope` in the answer to a refresh | yes | yes |
//! | a refresh ends the old access token | no | no |
//! | a refresh with a narrower `scope` gets | the whole scope | the narrower one |
//! | a consumed token comes back: `invalid_grant` | `Maximum allowed refresh token reuse exceeded` | `grant request is invalid` |
//! | an even older one comes back | `Stale token`, with the same end | the same |
//! | any token of that login afterwards | `Session doesn't have required client` | the same |
//! | the browser's other login | ends as well | ends as well |
//! | the browser logs in again | it was still logged in: the same `sid` | it gets new tokens |
//! | the old tokens then | stay dead: `refresh token issued before the client session started` | stay dead |
//! | they harm the new login | no | no |
//! | revoking a refresh token, newest or consumed, ends | the browser's logins and its session: the next login has another `sid` | the browser's logins |
//! | a refresh after that | `Session not active` | `grant request is invalid` |
//! | revoking an access token ends | only itself | **all of the browser's logins** |
//! | revoking an unknown or dead token | 200, with `{"error":"invalid_token"}` in it | 200, empty |
//! | revoking an ID token | 400 `unsupported_token_type` | the same |
//! | refresh token past its life | `Token is not active` | `grant request is invalid` |
//! | wrong client secret | 401 `unauthorized_client`, no `WWW-Authenticate` | 401 `invalid_client`, a challenge if it came by Basic |
//! | unknown client | 401 `invalid_client`, no `WWW-Authenticate` | the same, a challenge if it came by Basic |
//! | no client at all | 401 `invalid_client` | 400 `invalid_request` |
//! | a field missing, twice, or not as a form | 400 `invalid_request` | the same |
//! | a wider scope; an unknown grant type | 400 `invalid_scope`; `unsupported_grant_type` | the same |
//! | GET at the token endpoint | 405 | 404 |
//!
//! In two things the issuer is stricter than Keycloak:
//! - It refuses a secret that is sent by Basic and in the form at once, or by a public client, as
//!   RFC 6749 (2.3) says. Keycloak accepts it.
//! - Keycloak counts in seconds. Within one second it accepts an older refresh token as the newer
//!   one, and tokens of an ended login become good again if the browser logs in less than two
//!   seconds after they were issued. A test that relied on this would fail at random.
//!
//! oidc-provider accepts an access token for 15 s after its end (`clockTolerance`). The issuer does
//! not, nor does the oidc-provider that it is compared with. The `error_description` of a refused
//! refresh token is the real provider's; other descriptions may differ, and of the answer to a GET
//! only the status is the same.
//!
//! # Four ways to reach it
//! The issuer is a state machine without I/O. It answers
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

mod addresses;
mod answer;
mod authorization;
mod builder;
mod client_auth;
mod clock;
mod fake_lock;
mod gate;
mod grants;
mod http;
mod in_memory;
mod issuer;
mod logout_tokens;
mod memory_tokens;
mod probes;
mod provider;
mod revocation;
mod script;
mod signing;
mod state;
mod tokens;
mod wire;
mod wiremock;

pub use self::{
    addresses::Endpoint,
    builder::StrictIssuerBuilder,
    clock::ManualClock,
    fake_lock::FakeLock,
    gate::Gate,
    http::IssuerServer,
    issuer::{AnswerLost, StrictIssuer},
    memory_tokens::MemoryTokens,
    provider::ProviderKind,
    wiremock::WiremockIssuer,
};
