//! The same application with this crate.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use tower_token_refresh::{
    AccessToken, ClientAuth, Clock, ConfigError, Logout, RefreshError, TokenEndpoint,
    TokenRefreshLayer, TokenRefresher, TokenSet,
    testing::{IssuerServer, StrictIssuer},
    tower_sessions::{MemoryStore, Session},
};

use crate::storm::orders_of;

#[derive(Clone)]
struct App {
    issuer: StrictIssuer,
    refresher: TokenRefresher,
}

pub fn app(provider: &IssuerServer, clock: Clock) -> Result<Router, ConfigError> {
    let endpoint = TokenEndpoint::new(provider.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(provider.issuer_url());
    let refresher =
        TokenRefresher::builder(endpoint, MemoryStore::default()).clock(clock).build()?;
    Ok(router(provider.issuer().clone(), &refresher))
}

/// One process of it, with a refresher of its own.
pub fn router(issuer: StrictIssuer, refresher: &TokenRefresher) -> Router {
    let app = App { issuer, refresher: refresher.clone() };
    Router::new()
        .route("/orders", get(orders))
        .layer(TokenRefreshLayer::new(refresher))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .with_state(app)
        .layer(refresher.session_layer())
}

/// Stands for the callback of the code flow, where the provider's answer arrives.
async fn log_in(State(app): State<App>, session: Session) -> Result<(), RefreshError> {
    let answer = app.issuer.log_in("alice");
    let tokens = TokenSet::from_response(answer).expect("the demo's provider answers properly");
    app.refresher.log_in(&session, tokens).await
}

async fn log_out(State(app): State<App>, session: Session) -> Result<(), RefreshError> {
    app.refresher.log_out(&session, Logout::EndSession).await.map(drop)
}

async fn orders(State(app): State<App>, token: AccessToken) -> StatusCode {
    orders_of(&app.issuer, token.secret())
}
