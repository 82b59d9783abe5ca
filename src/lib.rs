//! Single-flight OAuth 2.0 token refresh for Axum and Tower.
//!
//! Tokens live in a [tower-sessions](tower_sessions) session. A request whose access token is still valid passes at once. When it has
//! expired, all concurrent requests of that login wait for **one** refresh, whose tokens are in the session before any of them goes on.
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_token_refresh::{
//!     AccessToken, ClientAuth, TokenEndpoint, TokenRefreshLayer, TokenRefresher, tower_sessions::MemoryStore,
//! };
//!
//! # fn main() -> Result<(), tower_token_refresh::ConfigError> {
//! let endpoint = TokenEndpoint::new("https://id.example.com/token", ClientAuth::basic("shop-web", "secret"));
//! let refresher = TokenRefresher::builder(endpoint, MemoryStore::default()).build()?;
//!
//! async fn orders(token: AccessToken) -> String {
//!     format!("good until {:?}", token.expires_at())
//! }
//! let app: Router = Router::new()
//!     .route("/orders", get(orders))
//!     .layer(TokenRefreshLayer::new(&refresher))
//!     .layer(refresher.session_layer());
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! ```text
//! refresher.session_layer()      tower-sessions' own layer over a guarded store
//!   TokenRefreshLayer            no tokens: 401. Fresh: go on; near its end, start a flight as well.
//!                                Else: join the flight, or start it
//!     your handler               extracts AccessToken, Claims
//!
//! a flight, owned by nobody who waits for it:
//!   re-read the session from the store -> ask the provider -> is it the same user? -> ledger -> store -> wake the waiters
//! ```
//!
//! - A **grant** is one login. It has a random id and lives in one session record, its **home**; a **generation** counts its token
//!   sets. Two devices of one user are two grants. Wall clocks play no part in what is newer.
//! - A **flight** is one refresh of one grant: a spawned task, so a browser tab that closes cancels nothing.
//! - The **guarded store** ([`GuardedStore`]) compares before it writes: tower-sessions saves whole records, the last one wins, and a
//!   slow request would otherwise undo a refresh or a log out.
//! - The **ledger** is what this process knows of each grant: home, newest set, whether it ended. It is also the token cache of the
//!   fast path, so a valid token costs no JSON and no JWT decoding.
//! - A **tombstone** is an entry that says only that a grant ended; a **pending** set is a new one that the store has refused so far.
//!
//! # What is trusted
//!
//! Tokens come from the token endpoint over TLS and stay on the server side, so what they say is taken for true (compare OpenID Connect
//! Core section 3.1.3.7, item 6). Whoever can write to the session store can be anybody; with
//! [`seal_with`](TokenRefresherBuilder::seal_with), who can only read it learns no token, and [`ClaimsTrust::Verified`] has the claims of
//! access tokens verified by the provider's keys.
//!
//! What a login begins with, your application's OpenID Connect client has verified. Each refresh is held against that: tokens of
//! another user or issuer end the login ([`SubjectChanged`](RefreshErrorKind::SubjectChanged)), and a refreshed ID token that does not
//! verify is dropped in favour of the earlier one, while the new access and refresh tokens stay.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `axum` | yes | the extractors, `IntoResponse` for [`RefreshError`], the route for back-channel logout |
//! | `rustls` | yes | TLS for the default transport |
//! | `testing` | no | the `testing` module: a strict provider and a clock for your own tests |
#![forbid(unsafe_code)]
#![deny(unreachable_pub)]

mod back_channel;
mod clock;
mod endpoint;
mod error;
mod key_locks;
mod metrics;
mod middleware;
mod policy;
mod refresher;
mod session;
mod single_flight;
#[cfg(feature = "testing")]
pub mod testing;
mod token_cache;
pub mod token_store;
mod tokens;

pub use back_channel::{BackChannelError, RefusedLogoutToken};
pub use clock::{Clock, TimeSource};
pub use endpoint::{
    ClientAuth, Discover, DiscoveryError, EndpointError, EndpointErrorKind, NotSent,
    ProviderLimits, TokenEndpoint, Transport,
};
pub use error::{ConfigError, RefreshError, RefreshErrorKind};
#[cfg(feature = "axum")]
pub use middleware::Claims;
pub use middleware::{TokenRefreshLayer, TokenRefreshService, rejection};
pub use policy::{OnUnavailable, RefreshPolicy};
pub use refresher::{
    Logout, LogoutOutcome, Revocation, ShutdownError, TokenRefresher, TokenRefresherBuilder, Usage,
};
pub use session::GuardedStore;
pub use tokens::{
    AccessToken, ClaimsError, ClaimsTrust, Roles, StandardClaims, TokenSet, TokenSetError,
};
pub use tower_sessions;

#[cfg(all(doctest, feature = "axum", feature = "rustls", feature = "testing"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
