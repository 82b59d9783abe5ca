//! The layer and the extractors in an axum application.

use std::convert::Infallible;

use ::http::{Method, StatusCode, header, request::Parts};
use axum::{
    Extension, Router,
    extract::FromRequestParts,
    routing::{get, options},
};
use support::{
    LIFE, Op, TokenOp, World,
    http::{self, ask},
};
use tower_sessions::{Expiry, cookie::time::Duration};
use tower_token_refresh::{
    AccessToken, Claims, Logout, RefreshError, RefreshErrorKind, TokenRefreshLayer,
    testing::{Endpoint, ManualClock},
    tower_sessions,
};

async fn who(token: Option<AccessToken>) -> String {
    token.map_or("anonymous".to_owned(), |token| token.subject().unwrap_or_default().to_owned())
}

fn routes() -> Router {
    Router::new()
        .route("/", get("home"))
        .route("/token", get(async |token: AccessToken| token.secret().to_owned()))
        .route("/who", get(who))
        .route(
            "/admin",
            get(async |claims: Claims| {
                format!("{} {}", claims.has_role("web", "reader"), claims.has_realm_role("admin"))
            }),
        )
        .route("/broken", get(async |_: AccessToken| StatusCode::BAD_GATEWAY))
}

fn guarded(world: &World) -> Router {
    routes().layer(TokenRefreshLayer::new(&world.refresher)).layer(world.refresher.session_layer())
}

fn lazy(world: &World) -> Router {
    routes()
        .layer(TokenRefreshLayer::new(&world.refresher).lazy())
        .layer(world.refresher.session_layer())
}

#[tokio::test]
async fn a_guarded_route_without_a_session_is_a_401_and_never_reaches_the_handler() {
    let world = World::on_memory();
    let answer = ask(&guarded(&world), http::get("/", None)).await;
    assert_eq!(answer.status, 401);
    assert_ne!(answer.body, "home");
}

#[tokio::test]
async fn a_handler_gets_the_token_its_subject_and_its_roles() {
    let world = World::on_memory();
    let id = Some(world.log_in("alice").await);
    for app in [guarded(&world), lazy(&world)] {
        let token = ask(&app, http::get("/token", id)).await.body;
        assert!(world.issuer.is_access_token_live(&token));
        assert_eq!(ask(&app, http::get("/who", id)).await.body, world.issuer.subject_of("alice"));
        assert_eq!(ask(&app, http::get("/admin", id)).await.body, "true false");
    }
}

#[tokio::test]
async fn an_expired_token_is_refreshed_on_the_way_to_the_handler() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    for app in [guarded(&world), lazy(&world)] {
        world.expire();
        let answer = ask(&app, http::get("/token", Some(id))).await;
        assert!(world.issuer.is_access_token_live(&answer.body));
        world.assert_logged_in(id).await;
    }
    assert_eq!(world.issuer.refresh_requests(), 2);
}

#[tokio::test]
async fn a_lazy_home_page_touches_no_session() {
    let world = World::on_memory();
    let id = Some(world.log_in("alice").await);
    world.expire();
    world.issuer.set_down(true);
    let loads = world.sessions.calls(Op::Load);
    assert_eq!(ask(&lazy(&world), http::get("/", id)).await.body, "home");
    assert_eq!(world.sessions.calls(Op::Load), loads);
    assert_eq!(world.issuer.token_requests(), 0);
}

#[tokio::test]
async fn a_token_that_this_process_knows_costs_one_load_of_the_session() {
    let world = World::on_memory();
    let id = Some(world.log_in("alice").await);
    // The first one reads the token record.
    ask(&guarded(&world), http::get("/token", id)).await;
    let reads = world.tokens.calls(TokenOp::Load);
    for app in [guarded(&world), lazy(&world)] {
        let loads = world.sessions.calls(Op::Load);
        assert_eq!(ask(&app, http::get("/token", id)).await.status, 200);
        assert_eq!(world.sessions.calls(Op::Load), loads + 1);
    }
    assert_eq!(world.tokens.calls(TokenOp::Load), reads);
}

#[tokio::test(start_paused = true)]
async fn an_option_is_none_for_the_anonymous_the_expired_and_the_logged_out() {
    let world = World::on_memory();
    let app = lazy(&world);
    assert_eq!(ask(&app, http::get("/who", None)).await.body, "anonymous");

    let expired = world.log_in("bob").await;
    world.expire();
    world.issuer.end_session("bob");
    assert_eq!(ask(&app, http::get("/who", Some(expired))).await.body, "anonymous");

    let leaving = world.log_in("carol").await;
    world.expire();
    let post = world.issuer.gate_before(Endpoint::Token);
    let waiting = tokio::spawn({
        let app = app.clone();
        async move { ask(&app, http::get("/who", Some(leaving))).await }
    });
    post.reached().await;
    world.refresher.log_out(&world.session(leaving), Logout::EndSession).await.unwrap();
    assert_eq!(waiting.await.unwrap().body, "anonymous");
}

#[tokio::test(start_paused = true)]
async fn an_option_rejects_while_the_provider_is_down() {
    let world = World::on_memory();
    let id = Some(world.log_in("alice").await);
    world.expire();
    world.issuer.set_down(true);
    let answer = ask(&lazy(&world), http::get("/who", id)).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header(header::RETRY_AFTER).is_some());
    world.issuer.set_down(false);
    assert_eq!(
        ask(&lazy(&world), http::get("/who", id)).await.body,
        world.issuer.subject_of("alice")
    );
}

#[tokio::test]
async fn a_cors_preflight_passes_and_any_other_options_request_does_not() {
    let world = World::on_memory();
    let app = Router::new()
        .route("/", options(async || "preflight"))
        .layer(TokenRefreshLayer::new(&world.refresher))
        .layer(world.refresher.session_layer());
    let mut request = http::get("/", None);
    *request.method_mut() = Method::OPTIONS;
    assert_eq!(ask(&app, request).await.status, 401);

    let mut preflight = http::get("/", None);
    *preflight.method_mut() = Method::OPTIONS;
    preflight.headers_mut().insert(header::ORIGIN, "https://shop.example".parse().unwrap());
    preflight.headers_mut().insert(header::ACCESS_CONTROL_REQUEST_METHOD, "POST".parse().unwrap());
    assert_eq!(ask(&app, preflight).await.body, "preflight");
}

#[tokio::test]
async fn without_a_session_layer_the_answer_names_it_and_its_version() {
    let world = World::on_memory();
    let app = routes().layer(TokenRefreshLayer::new(&world.refresher));
    let answer = ask(&app, http::get("/token", None)).await;
    assert_eq!(answer.status, 500);
    let error = answer.extensions.get::<RefreshError>().unwrap();
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains("session_layer()"), "{error}");
    assert!(
        error.to_string().contains("tower-sessions") && error.to_string().contains("0.14"),
        "{error}"
    );
}

#[tokio::test]
async fn without_a_token_refresh_layer_the_extractor_names_it() {
    let world = World::on_memory();
    let app = routes().layer(world.refresher.session_layer());
    let answer = ask(&app, http::get("/token", None)).await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.extensions.get::<RefreshError>().unwrap().to_string().contains("TokenRefreshLayer")
    );
}

/// Between two extractors: the token expires.
struct TimePasses;

impl<S: Sync> FromRequestParts<S> for TimePasses {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        parts.extensions.get::<ManualClock>().expect("the world's clock").advance(LIFE);
        Ok(Self)
    }
}

#[tokio::test]
async fn two_extractors_in_one_handler_ask_once() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let twice = async |first: AccessToken, _: TimePasses, second: AccessToken, claims: Claims| {
        assert_eq!(first.secret(), second.secret());
        claims.sub.clone().unwrap_or_default()
    };
    let app = Router::new()
        .route("/", get(twice))
        .layer(TokenRefreshLayer::new(&world.refresher).lazy())
        .layer(Extension(world.clock.clone()))
        .layer(world.refresher.session_layer());
    world.expire();
    assert_eq!(ask(&app, http::get("/", Some(id))).await.body, world.issuer.subject_of("alice"));
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test]
async fn a_handler_that_fails_with_a_5xx_leaves_the_refreshed_tokens_stored() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    for (app, generation) in [(guarded(&world), 2), (lazy(&world), 3)] {
        world.expire();
        assert_eq!(ask(&app, http::get("/broken", Some(id))).await.status, 502);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(generation));
    }
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn under_on_inactivity_a_refresh_counts_as_activity() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let mut record = world.stored(id).await.unwrap();
    record.expiry_date -= Duration::days(13);
    world.sessions.overwrite(&record).await;
    let app = routes().layer(TokenRefreshLayer::new(&world.refresher)).layer(
        world.refresher.session_layer().with_expiry(Expiry::OnInactivity(Duration::days(7))),
    );

    let read_only = ask(&app, http::get("/token", Some(id))).await;
    assert_eq!(read_only.header(header::SET_COOKIE), None);
    assert_eq!(world.stored(id).await.unwrap().expiry_date, record.expiry_date);

    world.expire();
    let refreshed = ask(&app, http::get("/token", Some(id))).await;
    let cookie = refreshed.header(header::SET_COOKIE).expect("the cookie lives on as well");
    assert!(cookie.starts_with(&http::cookie(id)) && cookie.contains("Max-Age=604800"), "{cookie}");
    let moved = world.stored(id).await.unwrap().expiry_date - record.expiry_date;
    assert!(moved > Duration::days(5), "{moved}");
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
}

#[tokio::test]
async fn under_the_other_expiries_a_refresh_sets_no_cookie() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let answer = ask(&guarded(&world), http::get("/token", Some(id))).await;
    assert_eq!((answer.status, answer.header(header::SET_COOKIE)), (StatusCode::OK, None));
}
