//! axum-oidc as in its `examples/basic`: the login layer around what needs a user, the auth layer,
//! which refreshes when the ID token has expired, around everything.

use axum::{
    Router, error_handling::HandleErrorLayer, extract::Request, http::Uri, response::IntoResponse,
    routing::get,
};
use axum_oidc::{
    EmptyAdditionalClaims, OidcAccessToken, OidcAuthLayer, OidcLoginLayer, OidcRpInitiatedLogout,
    error::MiddlewareError,
};
use forward::{Api, serve, setting};
use tower::ServiceBuilder;
use tower_sessions::{
    Expiry, MemoryStore, SessionManagerLayer, SessionStore,
    cookie::{SameSite, time::Duration},
};
use tower_sessions_redis_store::{
    RedisStore,
    fred::{clients::Pool, interfaces::ClientLike, types::config::Config},
};

#[tokio::main]
async fn main() {
    match std::env::var("REDIS_URL") {
        Ok(url) => {
            let config = Config::from_url(&url).expect("a Redis URL");
            let pool = Pool::new(config, None, None, None, 6).expect("a pool");
            pool.connect();
            pool.wait_for_connect().await.expect("Redis answers");
            run(RedisStore::new(pool)).await;
        }
        Err(_) => run(MemoryStore::default()).await,
    }
}

async fn run<S: SessionStore + Clone>(store: S) {
    let sessions = SessionManagerLayer::new(store)
        .with_secure(false)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(Duration::seconds(3600)));
    let login = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(|error: MiddlewareError| async { error.into_response() }))
        .layer(OidcLoginLayer::<EmptyAdditionalClaims>::new());
    let client = OidcAuthLayer::<EmptyAdditionalClaims>::discover_client(
        Uri::from_maybe_shared(setting("BASE_URL")).expect("a URL"),
        setting("ISSUER_URL"),
        setting("CLIENT_ID"),
        Some(setting("CLIENT_SECRET")),
        vec![],
    );
    let auth = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(|error: MiddlewareError| async { error.into_response() }))
        .layer(client.await.expect("the provider is there"));

    let api = Api::from_settings();
    let app = Router::new()
        .route(
            "/api/{*path}",
            get(move |token: OidcAccessToken, request: Request| async move {
                api.forward(&token, request).await
            }),
        )
        .route("/logout", get(log_out))
        .layer(login)
        .layer(auth)
        .layer(sessions);
    serve(app).await;
}

async fn log_out(logout: OidcRpInitiatedLogout) -> impl IntoResponse {
    logout.with_post_logout_redirect(Uri::from_static("http://127.0.0.1/"))
}
