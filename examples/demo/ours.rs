//! The same application with this crate.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use tower_token_refresh::{
    AccessToken, ClientAuth, Clock, ConfigError, RefreshError, TokenEndpoint, TokenRefreshLayer,
    TokenRefresher, TokenSet,
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
    let app = App { issuer: provider.issuer().clone(), refresher: refresher.clone() };
    Ok(Router::new()
        .route("/orders", get(orders))
        .layer(TokenRefreshLayer::new(&refresher))
        .route("/login", post(log_in))
        .with_state(app)
        .layer(refresher.session_layer()))
}

/// Stands for the callback of the code flow, where the provider's answer arrives.
async fn log_in(State(app): State<App>, session: Session) -> Result<(), RefreshError> {
    let answer = app.issuer.log_in("alice");
    let tokens = TokenSet::from_response(answer).expect("the demo's provider answers properly");
    app.refresher.log_in(&session, tokens).await
}

async fn orders(State(app): State<App>, token: AccessToken) -> StatusCode {
    orders_of(&app.issuer, token.secret())
}
