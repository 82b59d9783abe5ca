//! A mistake in the set-up is told to whoever can mend it: in the log, with what to change.

use ::http::header;
use axum::{Router, routing::get};
use futures_util::future::join_all;
use support::{
    World,
    http::{self, ask},
    log::Log,
};
use tower_sessions::Session;
use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, TokenRefreshLayer, TokenRefresher, TokenSet,
    testing::StrictIssuer, tower_sessions,
};

fn routes() -> Router {
    Router::new().route("/", get(async |_: AccessToken| "in"))
}

#[tokio::test]
async fn a_missing_session_layer_is_logged_with_the_line_to_add() {
    let world = World::on_memory();
    let log = Log::of_this_thread();
    let answer =
        ask(&routes().layer(TokenRefreshLayer::new(&world.refresher)), http::get("/", None)).await;
    assert_eq!(answer.status, 500);
    let lines = log.lines_at("ERROR");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(".layer(refresher.session_layer())"), "{lines:?}");
}

#[tokio::test]
async fn a_missing_refresh_layer_is_logged_with_the_line_to_add() {
    let log = Log::of_this_thread();
    assert_eq!(ask(&routes(), http::get("/", None)).await.status, 500);
    let lines = log.lines_at("ERROR");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("TokenRefreshLayer::new(&refresher)"), "{lines:?}");
}

#[tokio::test]
async fn a_refresh_that_the_provider_refuses_is_one_line_for_all_its_waiters() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next_oauth(400, "invalid_scope");
    let app = routes()
        .layer(TokenRefreshLayer::new(&world.refresher))
        .layer(world.refresher.session_layer());
    let log = Log::of_this_thread();

    let answers = join_all((0..10).map(|_| ask(&app, http::get("/", Some(id))))).await;

    assert!(answers.iter().all(|answer| answer.status == 500));
    let lines = log.lines_at("ERROR");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("invalid_scope"), "{lines:?}");

    // The same answer again, without a request and without a line.
    assert_eq!(ask(&app, http::get("/", Some(id))).await.status, 500);
    assert_eq!((log.lines_at("ERROR").len(), world.issuer.refresh_requests()), (1, 1));
}

/// Each would take the other's logins for its own.
#[tokio::test]
async fn two_providers_under_one_session_key_are_named_before_anything_is_presented() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let other = StrictIssuer::builder().issuer_url("https://other.example/realms/other").build();
    let second = TokenRefresher::builder(support::endpoint(&other), world.sessions.clone())
        .clock(world.clock.clock())
        .build()
        .expect("the settings agree");
    let app = routes().layer(TokenRefreshLayer::new(&second)).layer(second.session_layer());
    let log = Log::of_this_thread();

    let answer = ask(&app, http::get("/", Some(id))).await;

    assert_eq!(answer.status, 500);
    let error = answer.extensions.get::<RefreshError>().expect("in the extensions");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    let lines = log.lines_at("ERROR");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for named in [world.issuer.issuer_url(), other.issuer_url(), "session_key".into()] {
        assert!(error.to_string().contains(&named), "{error}");
        assert!(lines[0].contains(&named), "{lines:?}");
    }
    assert_eq!(other.token_requests() + world.issuer.token_requests(), 0);
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
}

/// A browser that comes back from the provider sends no `Strict` cookie, and the callback would
/// know nobody.
#[tokio::test]
async fn the_session_cookie_survives_the_way_back_from_the_provider() {
    let world = World::on_memory();
    let (refresher, issuer) = (world.refresher.clone(), world.issuer.clone());
    let log_in = async move |session: Session| {
        let set = TokenSet::from_response(issuer.log_in("alice")).expect("a token set");
        refresher.log_in(&session, set).await
    };
    let app = Router::new().route("/callback", get(log_in)).layer(world.refresher.session_layer());
    let answer = ask(&app, http::get("/callback", None)).await;
    let cookie = answer.header(header::SET_COOKIE).expect("a session cookie");
    assert!(
        cookie.contains("SameSite=Lax") && cookie.contains("Secure") && cookie.contains("HttpOnly"),
        "{cookie}"
    );
}
