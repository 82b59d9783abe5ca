//! The routes that log users in and out, for applications without an OpenID Connect client of their
//! own (OpenID Connect Core 1.0, section 3.1; RFC 6749, section 4.1).
//!
//! ```text
//! routes      the settings, and the router made of them
//! shared      what the handlers share
//! begin       GET /login: the authorization request (PKCE, state, nonce), pushed where that is wanted
//! attempt     what the callback must know of that request: a sealed cookie per attempt
//! callback    GET /callback: whose answer it is, and what becomes of the session
//! redeem      the code becomes a login: once per state, whoever asks how often
//! id_token    OpenID Connect Core, 3.1.3.7
//! user        what the application's own code is asked
//! log_out     POST /logout: here, then at the provider (RP-Initiated Logout 1.0)
//! error       why nobody was logged in, and what the browser sees
//! ```

mod attempt;
mod begin;
mod callback;
mod error;
mod id_token;
mod log_out;
mod redeem;
mod routes;
mod shared;
mod user;

pub use self::{
    error::{LoginError, LoginErrorKind},
    routes::LoginRoutes,
    user::{UserInfo, VerifiedLogin},
};
