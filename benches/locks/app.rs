//! An application that wants a good token for each request: sessions and tokens in Redis.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    routing::get,
};
use tower::ServiceExt;
use tower_sessions::Session;
use tower_token_refresh::{
    AccessToken, ClientAuth, TokenEndpoint, TokenRefreshLayer, TokenRefresher, TokenSet,
    lock::{LocalLock, RedisLock},
    tower_sessions,
};

use crate::{
    common::token_response,
    scene::{Kind, Scene},
    times::now,
};

#[derive(Clone)]
pub struct App {
    refresher: TokenRefresher,
    router: Router,
}

impl App {
    /// With a connection of its own.
    pub async fn new(scene: &Scene, token_url: &str, lock: Option<Kind>) -> Self {
        let redis = scene.redis().await;
        let endpoint = TokenEndpoint::new(token_url, ClientAuth::basic("web", "secret"));
        let builder =
            TokenRefresher::builder(endpoint, redis.sessions()).token_store(redis.tokens());
        let builder = match lock {
            None => builder,
            Some(Kind::Local) => builder.lock(LocalLock::new()),
            Some(Kind::Redis) => builder.lock(RedisLock::new(&redis)),
            Some(Kind::Postgres) => builder.lock(scene.postgres_lock().await),
            Some(other) => panic!("{other} is not measured with refreshes"),
        };
        let refresher = builder.build().expect("the settings agree");
        let router = Router::new()
            .route("/", get(async |_: AccessToken| ()))
            .layer(TokenRefreshLayer::new(&refresher))
            .layer(refresher.session_layer());
        Self { refresher, router }
    }

    /// The cookie of a user who was away for a while: the access token has expired.
    pub async fn returning_user(&self) -> String {
        let session = Session::new(None, Arc::new(self.refresher.session_store()), None);
        let set = TokenSet::from_response(token_response("alice")).expect("a token response");
        let obtained_at = now() - Duration::from_secs(400);
        let set = set
            .with_obtained_at(obtained_at)
            .with_expires_at(obtained_at + Duration::from_secs(300));
        self.refresher.log_in(&session, set).await.expect("logged in");
        format!("id={}", session.id().expect("a saved session has an id"))
    }

    pub async fn serve(&self, cookie: &str) {
        let request = Request::builder().uri("/").header(header::COOKIE, cookie);
        let request = request.body(Body::empty()).expect("a valid request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
    }
}
