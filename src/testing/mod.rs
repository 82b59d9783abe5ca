//! A strict identity provider and a clock you can move, for the tests of your own app (feature `testing`).
//!
//! [`StrictIssuer`] behaves like Keycloak with *Revoke Refresh Token* on and *Refresh Token Max Reuse* 0, or
//! [like](StrictIssuerBuilder::like) node's oidc-provider: every refresh rotates the refresh token, and whoever presents a
//! consumed one ends the whole login, the winner's newest tokens included. An app that refreshes twice with one token is
//! logged out here as it would be in production.
//!
//! A browser can log in there, too: the authorization endpoint (code flow, PKCE with S256 required) asks for no password, it
//! logs in `login_hint`, or `alice` without one, and sends the browser back at once. Any http or https `redirect_uri` will do, but
//! the exchange must name the same; a code is good once, for 60 s. The end session endpoint ends the session of its `id_token_hint`.
//!
//! # The two providers
//! Both end, by a consumed refresh token that comes back, every refresh and access token that this browser's logins at the
//! client have brought; another browser keeps its own. The same test runs against this issuer, Keycloak 26.4.0 and
//! oidc-provider 9.13.3 (`tests/provider_contract`), so these rows are theirs as well as its own:
//!
//! | what | Keycloak 26.4 | oidc-provider 9.13 |
//! |---|---|---|
//! | access and refresh tokens | JWTs | opaque |
//! | `session_state`, `refresh_expires_in` in the answer, `sid` in the ID token | yes | no |
//! | ID token and `scope` in a refresh's answer | yes | yes |
//! | a refresh ends the old access token | no | no |
//! | a refresh with a narrower `scope` gets | the whole scope (profile and email are the client's default scopes) | what it asked for |
//! | a consumed token comes back: `invalid_grant` | `Maximum allowed refresh token reuse exceeded` | `grant request is invalid` |
//! | an even older one comes back | `Stale token`, ends the same | the same |
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
//! In two things the issuer is stricter than the Keycloak it is like:
//! - a secret by Basic and in the form at once, or from a public client: Keycloak does not mind, RFC 6749 (2.3) does;
//! - Keycloak counts in seconds. Within one second it takes an older refresh token for a newer one, and tokens of an
//!   ended login become good again if the browser logs in less than two seconds after they were issued. A test that
//!   relied on it would fail by luck.
//!
//! oidc-provider takes an access token for 15 seconds beyond its life (`clockTolerance`); the issuer takes none, nor does
//! the oidc-provider it is compared with. The `error_description` of a refused refresh token is the provider's own, others
//! need not be; the answer to a GET is theirs in its status alone.
//!
//! # Four ways to ask it
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
    builder::StrictIssuerBuilder,
    clock::ManualClock,
    gate::Gate,
    http::IssuerServer,
    issuer::{AnswerLost, Endpoint, StrictIssuer},
    memory_tokens::MemoryTokens,
    provider::ProviderKind,
    wiremock::WiremockIssuer,
};
