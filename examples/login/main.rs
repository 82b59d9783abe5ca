//! Log in, stay logged in, log out: the whole application, with a provider and an API of its own,
//! so that nothing has to be set up.
//!
//! ```sh
//! cargo run --example login
//! # open http://localhost:8080
//! ```
//!
//! Everybody is logged in as `alice`, without a password. Access tokens live for 20 s: reload
//! `/orders` after that, and see another token. `cargo run --example login -- 127.0.0.1:0` takes a
//! free port.

use std::{error::Error, future, time::Duration};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, header},
    response::Html,
    routing::get,
};
use tower_token_refresh::{
    AccessToken, ClientAuth, ConfigError, Identity, SessionCookieLayer, TokenEndpoint,
    TokenRefreshLayer, TokenRefresher,
    rejection::redirect_browsers_to,
    serve::Server,
    testing::{IssuerServer, StrictIssuer},
    tower_sessions::MemoryStore,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = Server::bind(address).await?;
    // Browsers treat localhost as they treat https, and keep a `Secure` cookie.
    let origin = format!("http://localhost:{}", server.local_addr()?.port());

    let provider = provider().await?;
    let app = app(&origin, provider.issuer_url()).await?;
    println!("open {origin}");
    server.serve(app, future::pending()).await;
    Ok(())
}

/// Yours is Keycloak, Entra, Auth0 or another one.
async fn provider() -> std::io::Result<IssuerServer> {
    let life = Duration::from_secs(20);
    StrictIssuer::builder()
        .client("shop", "secret")
        .access_token_lifetime(life)
        .build()
        .serve()
        .await
}

async fn app(origin: &str, issuer_url: String) -> Result<Router, Box<dyn Error>> {
    let auth = ClientAuth::basic("shop", "secret");
    let endpoint = TokenEndpoint::discover(issuer_url, auth).await?;
    let refresher = TokenRefresher::builder(endpoint, MemoryStore::default()).build()?;
    Ok(routes(&refresher, origin)?)
}

fn routes(refresher: &TokenRefresher, origin: &str) -> Result<Router, ConfigError> {
    let log_in_first = redirect_browsers_to("/login")?;
    Ok(Router::new()
        .route("/orders", get(orders))
        // Guards the route above.
        .route_layer(TokenRefreshLayer::new(refresher).on_rejection(log_in_first))
        .route("/", get(home))
        .layer(TokenRefreshLayer::new(refresher).lazy())
        .merge(refresher.login_routes(origin).build()?)
        .layer(refresher.session_layer())
        .layer(SessionCookieLayer::new("id")?)
        .route("/api/orders", get(api)))
}

/// Public: it knows its user, and does not wait for the provider.
async fn home(user: Option<Identity>) -> Html<String> {
    Html(match user {
        Some(user) => format!(
            "<p>Hello, {}. <a href=\"/orders\">Your orders</a></p>\
             <form method=\"post\" action=\"/logout\"><button>Log out</button></form>",
            escaped(user.preferred_username.as_deref().unwrap_or("you"))
        ),
        None => "<p>Hello, stranger. <a href=\"/login\">Log in</a></p>".to_owned(),
    })
}

/// The token is always fresh here. The API is a part of this example; yours is elsewhere.
async fn orders(token: AccessToken) -> Json<serde_json::Value> {
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, token.header())]);
    Json(serde_json::json!({
        "orders": api(headers).await.unwrap_or_default(),
        "token_expires_at": httpdate::fmt_http_date(token.expires_at()),
    }))
}

async fn api(headers: HeaderMap) -> Result<&'static str, StatusCode> {
    headers.get(header::AUTHORIZATION).map(|_| "two books").ok_or(StatusCode::UNAUTHORIZED)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
