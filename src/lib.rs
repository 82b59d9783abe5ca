//! Keeps the OAuth 2.0 tokens in your users' sessions alive, in Axum and Tower.
//!
//! A request whose access token is still valid passes at once. When the token has expired, all
//! requests of that login wait for **one** refresh, and its tokens are stored before any of them
//! goes on. Sessions are those of [tower-sessions](tower_sessions).
//!
//! # Quick start
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "login", feature = "testing"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use tower::ServiceExt;
//! # let provider = tower_token_refresh::testing::StrictIssuer::new().serve().await?;
//! # let issuer_url = provider.issuer_url();
//! use axum::{Router, routing::get};
//! use tower_token_refresh::{
//!     AccessToken, ClientAuth, Identity, SessionCookieLayer, TokenEndpoint, TokenRefreshLayer,
//!     TokenRefresher, tower_sessions::MemoryStore,
//! };
//!
//! /// The token is always fresh here.
//! async fn orders(token: AccessToken) -> String {
//!     let _authorization = token.header(); // for the request to your API
//!     format!("good until {:?}", token.expires_at())
//! }
//!
//! /// Public. It knows its user even while the provider is down.
//! async fn home(user: Option<Identity>) -> &'static str {
//!     if user.is_some() { "welcome back" } else { "hello, stranger" }
//! }
//!
//! let auth = ClientAuth::basic("web", "secret");
//! let endpoint = TokenEndpoint::discover(issuer_url, auth).await?;
//! let refresher = TokenRefresher::builder(endpoint, MemoryStore::default()).build()?;
//!
//! let app: Router = Router::new()
//!     .route("/orders", get(orders))
//!     .route_layer(TokenRefreshLayer::new(&refresher)) // guards the routes above this line
//!     .route("/", get(home))
//!     .layer(TokenRefreshLayer::new(&refresher).lazy())
//!     .merge(refresher.login_routes("https://shop.example.com").build()?)
//!     .layer(refresher.session_layer())
//!     .layer(SessionCookieLayer::new("id")?);
//! # for (path, status) in [("/", 200), ("/orders", 401), ("/login", 303), ("/callback", 400)] {
//! #     let request = http::Request::get(path).body(axum::body::Body::empty())?;
//! #     assert_eq!(app.clone().oneshot(request).await?.status(), status, "{path}");
//! # }
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "axum", feature = "login", feature = "testing")))]
//! # fn main() {}
//! ```
//!
//! `/login`, `/callback` and `/logout` are the [login routes](LoginRoutes). An application with an
//! OpenID Connect client of its own calls [`log_in`](TokenRefresher::log_in) and
//! [`log_out`](TokenRefresher::log_out) instead. The README has the whole application, with
//! sessions that survive a restart.
//!
//! Several processes need a token store that compares and swaps, such as those for Redis and
//! PostgreSQL: see [`token_store`].
//!
//! # How it works
//!
//! - **Pointer.** A session holds the id of its login, set at login, and nothing else of this
//!   crate. Requests may save sessions late, copy them or give them new ids: the pointer stays
//!   true, and tokens are not touched.
//! - **Token record.** The tokens of each login are a record of their own in a
//!   [`TokenStore`](token_store::TokenStore), by default in the session store. Only a login, a
//!   refresh and an ending write it. A counter, the *generation*, says which tokens are newer;
//!   clocks do not.
//! - **Flight.** A refresh is a task of its own. Requests wait for it, and none of them owns it, so
//!   a closed browser tab stops nothing. It reads the record, sets its mark, asks the provider,
//!   checks that the new tokens are the same user's, stores them, and wakes the requests, in this
//!   order.
//! - **Mark.** Before a flight presents a refresh token it writes into the record that it does so.
//!   No other process presents the token then. If the flight never ends, the mark says that the
//!   outcome is in doubt: the provider may have used the token up.
//! - **Cache.** A process keeps access tokens in memory, so a valid token costs no read of the
//!   record and no JWT decoding. After [`confirm_after`](RefreshPolicy::confirm_after) the record
//!   is read again. The cache may lose any entry.
//! - **Ending.** A logout, the provider's logout token, or a refused refresh token ends a login in
//!   this process first, then in the record. The record of an ending stays, so whatever comes late
//!   finds it: a late refresh revokes or drops what it brings.
//!
//! The module [`docs`] has the whole story.
//!
//! # What is trusted
//!
//! Tokens come from the token endpoint over TLS and stay on the server, so what they say is
//! believed (compare OpenID Connect Core section 3.1.3.7, item 6). [`ClaimsTrust::Verified`] checks
//! the signatures of access tokens as well. Whoever can write to the stores can act as any user.
//! With [`seal_with`](TokenRefresherBuilder::seal_with), whoever can only read the token store
//! learns no token.
//!
//! The login routes, or your own OpenID Connect client, have verified the first tokens of a login.
//! Each refresh is compared with them. Tokens of another user or issuer end the login
//! ([`SubjectChanged`](RefreshErrorKind::SubjectChanged)). A refreshed ID token that does not
//! verify is dropped, and the earlier one is kept with the new access and refresh token.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `axum` | yes | the extractors, `IntoResponse` for [`RefreshError`], the route for back-channel logout |
//! | `login` | yes | [`LoginRoutes`]: log in, callback and log out |
//! | `rustls` | yes | TLS for the default transport |
//! | `redis` | no | sessions, tokens and locks in Redis or Valkey |
//! | `postgres`, `sqlite` | no | tokens and locks in PostgreSQL or SQLite |
//! | `reqwest-middleware` | no | `BearerMiddleware`: [`BearerLayer`] for a client of reqwest-middleware |
//! | `config` | no | `RefreshConfig`: times and limits from a file or the environment |
//! | `inspect` | no | `TokenRefresher::inspect`: a page with the refreshes of a process |
//! | `serve` | no | the `serve` module: a server for axum with deadlines, limits and a bounded stop |
//! | `testing` | no | the `testing` module: a strict provider and a clock for your own tests |
//!
//! Without `axum` the layer works with any Tower service over `http` types whose response body can
//! be made from `Bytes`. Without `rustls`, bring a [`Transport`] of your own.
#![forbid(unsafe_code)]
#![deny(unreachable_pub)]

mod back_channel;
mod backoff;
mod clock;
pub mod cookies;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod databases;
#[cfg(any(
    test,
    all(
        doc,
        any(
            not(doctest),
            all(feature = "axum", feature = "rustls", feature = "serve", feature = "testing")
        )
    )
))]
pub mod docs;
mod dpop;
mod endpoint;
mod error;
mod hex;
mod keep_listening;
mod key_locks;
pub mod lock;
#[cfg(feature = "login")]
mod login;
mod loopback;
mod metrics;
mod middleware;
pub mod operate;
mod outbound;
mod policy;
#[cfg(feature = "redis")]
mod redis;
mod refresher;
mod return_path;
#[cfg(feature = "serve")]
pub mod serve;
mod session;
mod single_flight;
#[cfg(feature = "testing")]
pub mod testing;
mod token_cache;
pub mod token_store;
mod tokens;

pub use back_channel::BackChannelError;
pub use clock::{Clock, TimeSource};
pub use dpop::{DpopKey, DpopProof};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use endpoint::fuzzing;
pub use endpoint::{
    AnswerMeaning, AssertionAudience, ClientAuth, Discover, DiscoveryError, EndpointResolver,
    JwtBearer, NotSent, ProviderAnswer, ProviderLimits, SecretSource, SigningAlgorithm, SigningKey,
    SigningKeySource, TokenEndpoint, TokenTarget, Transport,
};
pub use error::{ConfigError, RefreshError, RefreshErrorKind};
#[cfg(feature = "login")]
pub use login::{LoginError, LoginErrorKind, LoginRoutes, UserInfo, VerifiedLogin};
#[cfg(feature = "axum")]
pub use middleware::{Claims, FromProvider, Identity};
pub use middleware::{
    SameOriginLayer, SameOriginService, SessionCookieLayer, SessionCookieService,
    TokenRefreshLayer, TokenRefreshService, rejection,
};
#[cfg(feature = "config")]
pub use operate::RefreshConfig;
#[cfg(feature = "reqwest-middleware")]
pub use outbound::BearerMiddleware;
pub use outbound::{
    ApiHosts, BearerLayer, BearerService, ExchangedTokens, ServiceTokens, ServiceTokensBuilder,
    StepUp, TokenExchange, TokenSource,
};
pub use policy::{OnUnavailable, RefreshPolicy};
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisConnectError, RedisSessions};
pub use refresher::{
    LoginTokens, Logout, LogoutOutcome, Revocation, ShutdownError, TokenRefresher,
    TokenRefresherBuilder, Usage,
};
pub use return_path::safe_return_to;
pub use session::GuardedStore;
pub use tokens::{
    AccessToken, ClaimsError, ClaimsTrust, GrantHandle, GrantHandleError, Roles, StandardClaims,
    TokenSet, TokenSetError,
};
pub use tower_sessions;

#[cfg(all(doctest, feature = "axum", feature = "rustls", feature = "testing"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
