//! axum-oidc-client as its README and TOKEN_REFRESH.md say: the authentication layer, and the
//! `AccessToken` extractor, which refreshes. Sessions in memory; for two processes in Redis, without
//! the cache in front of it, which would keep what the other process has replaced.

use std::sync::Arc;

use axum::{Router, extract::Request, routing::get};
use axum_oidc_client::{
    auth::{AuthenticationLayer, CodeChallengeMethod},
    auth_builder::OAuthConfigurationBuilder,
    auth_cache::AuthCache,
    cache::{TwoTierAuthCache, config::TwoTierCacheConfig},
    extractors::AccessToken,
    logout::handle_oidc_logout::OidcLogoutHandler,
    redis,
};
use forward::{Api, serve, setting};

#[tokio::main]
async fn main() {
    let issuer = setting("ISSUER_URL");
    let config = OAuthConfigurationBuilder::default()
        .with_issuer(&issuer)
        .await
        .expect("the provider is there")
        .with_client_id(&setting("CLIENT_ID"))
        .with_client_secret(&setting("CLIENT_SECRET"))
        .with_redirect_uri(&format!("{}/auth/callback", setting("BASE_URL")))
        .with_post_logout_redirect_uri("http://127.0.0.1/")
        .with_private_cookie_key(
            "a secret key of both processes, with more than sixty-four bytes, to be sure",
        )
        .with_scopes(vec!["openid", "profile", "offline_access"])
        .with_code_challenge_method(CodeChallengeMethod::S256)
        .with_session_max_age(60)
        .build()
        .expect("all that it needs");
    let cache: Arc<dyn AuthCache + Send + Sync> = match std::env::var("REDIS_URL") {
        Ok(url) => Arc::new(redis::AuthCache::new(&url, 3600)),
        Err(_) => {
            Arc::new(TwoTierAuthCache::new(None, TwoTierCacheConfig::default()).expect("a cache"))
        }
    };
    let logout = OidcLogoutHandler::new(&format!("{issuer}/session/end"));

    let api = Api::from_settings();
    let app = Router::new()
        .route(
            "/api/{*path}",
            get(move |token: AccessToken, request: Request| async move {
                api.forward(&token, request).await
            }),
        )
        .layer(AuthenticationLayer::new(Arc::new(config), cache, Arc::new(logout)));
    serve(app).await;
}
