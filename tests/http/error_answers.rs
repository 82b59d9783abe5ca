//! What a client is told when it gets no token: one test for each way to fail.

use ::http::{Response, StatusCode, header};
use axum::{Router, routing::get};
use serde_json::{Value, json};
use support::{
    Op, World,
    http::{self, Answer},
};
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, Logout, RefreshError, RefreshErrorKind as Kind, TokenRefreshLayer, TokenRefresher,
    TokenSet, Transport, testing::Endpoint, tower_sessions,
};

pub(super) fn guarded(refresher: &TokenRefresher) -> Router {
    Router::new()
        .route("/", get(async |token: AccessToken| token.secret().to_owned()))
        .layer(TokenRefreshLayer::new(refresher))
        .layer(refresher.session_layer())
}

/// What every answer without a token has in common, and the kind in the three places it is told in.
pub(super) fn assert_told(world: &World, answer: &Answer, kind: Kind, code: &str) {
    assert_eq!(answer.status, kind.status());
    assert_eq!(answer.header(header::CONTENT_TYPE), Some("application/problem+json"));
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    let unauthorized = answer.status == StatusCode::UNAUTHORIZED;
    assert_eq!(answer.header(header::WWW_AUTHENTICATE).is_some(), unauthorized);
    assert_eq!(
        answer.header(header::RETRY_AFTER).is_some(),
        answer.status == StatusCode::SERVICE_UNAVAILABLE
    );
    let problem = answer.json();
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&json!(answer.status.as_u16()), &json!(code))
    );
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    let error = answer.extensions.get::<RefreshError>().expect("for the layers further out");
    assert_eq!(error.kind(), kind);
    let told = format!("{} {error} {error:?} {:?}", answer.body, answer.headers);
    for secret in world.issuer.every_secret() {
        assert!(!told.contains(&secret));
    }
    assert!(!told.contains("scripted by the test"), "the provider's free text goes no further");
}

/// A user whose token has expired asks after `script` has told the issuer what to do.
async fn asked(script: impl FnOnce(&World)) -> (World, Id, Answer) {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    script(&world);
    let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;
    (world, id, answer)
}

async fn assert_kept(script: impl FnOnce(&World), kind: Kind, status: u16, code: &str) -> Answer {
    let (world, id, answer) = asked(script).await;
    assert_told(&world, &answer, kind, code);
    assert_eq!(answer.status.as_u16(), status);
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "the tokens are kept");
    answer
}

async fn unavailable(script: impl FnOnce(&World), retry_after: &str) {
    let answer = assert_kept(script, Kind::Unavailable, 503, "unavailable").await;
    assert_eq!(answer.header(header::RETRY_AFTER), Some(retry_after));
}

/// Overload is asked again once, so it has to be there twice to be told.
async fn overloaded(script: impl Fn(&World), retry_after: &str) {
    let twice = |world: &World| {
        script(world);
        script(world);
    };
    unavailable(twice, retry_after).await;
}

async fn invalid_response(script: impl FnOnce(&World)) {
    assert_kept(script, Kind::InvalidResponse, 502, "invalid_response").await;
}

/// The new refresh token is kept.
async fn unusable(script: impl FnOnce(&World)) {
    let (world, id, answer) = asked(script).await;
    assert_told(&world, &answer, Kind::InvalidResponse, "invalid_response");
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    world.assert_logged_in(id).await;
}

async fn misconfigured(script: impl FnOnce(&World)) {
    assert_kept(script, Kind::Misconfigured, 500, "misconfigured").await;
}

fn answer_next(world: &World, status: u16, name: header::HeaderName, value: &str) {
    let answer = Response::builder().status(status).header(name, value).body("".into()).unwrap();
    world.issuer.answer_next_at(Endpoint::Token, answer);
}

#[tokio::test]
async fn nobody_logged_in() {
    let world = World::on_memory();
    let answer = http::ask(&guarded(&world.refresher), http::get("/", None)).await;
    assert_told(&world, &answer, Kind::NoTokens, "no_tokens");
    assert_eq!(
        answer.header(header::WWW_AUTHENTICATE),
        Some("Bearer realm=\"session\""),
        "no error code: RFC 6750, 3.1"
    );
}

#[tokio::test(start_paused = true)]
async fn the_refresh_token_is_no_longer_accepted() {
    let (world, id, answer) =
        asked(|world| world.issuer.fail_next_oauth(400, "invalid_grant")).await;
    assert_told(&world, &answer, Kind::SessionExpired, "session_expired");
    assert!(answer.header(header::WWW_AUTHENTICATE).unwrap().contains("error=\"invalid_token\""));
    assert!(world.stored_tokens(id).await.is_ended());
}

#[tokio::test]
async fn expired_and_no_refresh_token() {
    let world = World::on_memory();
    let session = world.session_with(None, None);
    let mut response = world.issuer.log_in("alice");
    response.as_object_mut().unwrap().remove("refresh_token");
    world.refresher.log_in(&session, TokenSet::from_response(response).unwrap()).await.unwrap();
    let id = session.id().unwrap();
    assert_eq!(
        http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await.status,
        200,
        "until then it is good"
    );
    world.expire();
    let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;
    assert_told(&world, &answer, Kind::SessionExpired, "session_expired");
    assert!(world.stored_tokens(id).await.is_ended());
    assert_eq!(world.issuer.token_requests(), 0);
}

#[tokio::test]
async fn logged_out_while_waiting() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let grant = world.pointer(id).await.expect("logged in");
    world.expire();
    let app = guarded(&world.refresher);
    let post = world.issuer.gate_before(Endpoint::Token);
    let waiting = tokio::spawn(async move { http::ask(&app, http::get("/", Some(id))).await });
    post.reached().await;
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.unwrap();
    let answer = waiting.await.unwrap();
    assert_told(&world, &answer, Kind::LoggedOut, "logged_out");
    assert!(answer.header(header::WWW_AUTHENTICATE).unwrap().contains("error=\"invalid_token\""));
    assert!(world.tokens_of(&grant).await.is_ended());
}

#[tokio::test(start_paused = true)]
async fn a_503_with_retry_after() {
    overloaded(|world| answer_next(world, 503, header::RETRY_AFTER, "7"), "7").await;
}

#[tokio::test(start_paused = true)]
async fn a_429_with_and_without_retry_after() {
    unavailable(|world| answer_next(world, 429, header::RETRY_AFTER, "120"), "120").await;
    overloaded(|world| world.issuer.fail_next(429, ""), "1").await;
}

#[tokio::test]
async fn a_retry_after_of_a_day_is_told_as_five_minutes() {
    unavailable(|world| answer_next(world, 503, header::RETRY_AFTER, "86400"), "300").await;
}

#[tokio::test]
async fn any_other_5xx() {
    for status in [500, 502, 504] {
        unavailable(|world| world.issuer.fail_next(status, "<h1>sorry</h1>"), "1").await;
    }
}

#[tokio::test(start_paused = true)]
async fn temporarily_unavailable_and_server_error() {
    overloaded(|world| world.issuer.fail_next_oauth(400, "temporarily_unavailable"), "1").await;
    unavailable(|world| world.issuer.fail_next_oauth(400, "server_error"), "1").await;
}

#[tokio::test]
async fn a_broken_connection() {
    unavailable(|world| world.issuer.drop_request_next_at(Endpoint::Token), "1").await;
    unavailable(|world| world.issuer.drop_answer_next(), "1").await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_takes_longer_than_a_request_waits() {
    let slow = |world: &World| world.issuer.delay(std::time::Duration::from_secs(11));
    let answer = assert_kept(slow, Kind::WaitTimeout, 503, "wait_timeout").await;
    assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_in_time() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.delay(std::time::Duration::from_secs(16));
    let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;
    assert_told(&world, &answer, Kind::Unavailable, "unavailable");
}

#[tokio::test]
async fn less_than_a_second_is_told_as_a_whole_one() {
    let (world, id, _) = asked(|world| world.issuer.fail_next(500, "")).await;
    world.clock.advance(std::time::Duration::from_millis(300));
    let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;
    let wait = answer
        .extensions
        .get::<RefreshError>()
        .unwrap()
        .retry_after()
        .expect("a time to come back");
    assert!(wait < std::time::Duration::from_secs(1), "{wait:?}");
    assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
}

#[tokio::test]
async fn the_session_store_is_down() {
    unavailable(|world| world.sessions.refuse(Op::Load), "1").await;
}

#[tokio::test(start_paused = true)]
async fn the_session_store_does_not_answer() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    let _never_opened = world.sessions.gate_before(Op::Load);
    let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;
    assert_told(&world, &answer, Kind::Unavailable, "unavailable");
}

/// Nothing is presented whose outcome could not be stored.
#[tokio::test]
async fn the_token_store_is_down() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.tokens.refuse_everything(true);
    // This process knows that the token has expired; one that has just started knows nothing.
    for app in [guarded(&world.refresher), guarded(&world.restarted())] {
        let answer = http::ask(&app, http::get("/", Some(id))).await;
        assert_told(&world, &answer, Kind::Unavailable, "unavailable");
        assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
    }
    assert_eq!(world.issuer.token_requests(), 0);
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
}

#[tokio::test]
async fn no_whole_json() {
    invalid_response(|world| world.issuer.malformed_next()).await;
    invalid_response(|world| world.issuer.fail_next(200, "<html>")).await;
}

#[tokio::test]
async fn no_access_token() {
    let remove = |answer: &mut Value| drop(answer.as_object_mut().unwrap().remove("access_token"));
    unusable(|world| world.issuer.edit_next(remove)).await;
}

#[tokio::test]
async fn a_token_that_needs_a_proof_of_possession() {
    unusable(|world| world.issuer.edit_next(|answer| answer["token_type"] = json!("mac"))).await;
}

#[tokio::test]
async fn an_answer_over_1_mib() {
    invalid_response(|world| world.issuer.fail_next(200, vec![b' '; 1025 * 1024])).await;
}

#[tokio::test]
async fn a_redirect() {
    for status in [301, 302, 307, 308] {
        invalid_response(|world| {
            answer_next(world, status, header::LOCATION, "https://evil.example/");
        })
        .await;
    }
}

#[tokio::test]
async fn a_firewalls_403() {
    invalid_response(|world| world.issuer.fail_next(403, "<html>Request blocked</html>")).await;
}

#[tokio::test]
async fn the_client_or_its_request_is_refused() {
    for code in ["unauthorized_client", "unsupported_grant_type", "invalid_scope"] {
        misconfigured(|world| world.issuer.fail_next_oauth(400, code)).await;
    }
}

/// A secret may be about to be changed. Only when it stays it is an error of this application.
#[tokio::test]
async fn the_client_is_not_accepted() {
    for status in [400, 401] {
        let (world, id, answer) =
            asked(|world| world.issuer.fail_next_oauth(status, "invalid_client")).await;
        assert_told(&world, &answer, Kind::Unavailable, "unavailable");
        world.clock.advance(std::time::Duration::from_secs(1));
        world.issuer.fail_next_oauth(status, "invalid_client");
        let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;
        assert_told(&world, &answer, Kind::Misconfigured, "misconfigured");
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "the tokens are kept");
    }
}

#[tokio::test]
async fn a_code_that_nobody_has_registered() {
    let code = "made_up_code_with_a_secret";
    let (world, _, answer) = asked(|world| world.issuer.fail_next_oauth(400, code)).await;
    assert_told(&world, &answer, Kind::Misconfigured, "misconfigured");
    let error = answer.extensions.get::<RefreshError>().unwrap();
    assert!(!format!("{error} {error:?}").contains(code));
    assert!(error.to_string().contains("unregistered code"), "{error}");
}

#[tokio::test]
async fn the_tokens_are_another_users() {
    let (world, id, answer) = asked(|world| world.issuer.switch_user_next("mallory")).await;
    assert_told(&world, &answer, Kind::SubjectChanged, "subject_changed");
    assert!(answer.header(header::WWW_AUTHENTICATE).unwrap().contains("error=\"invalid_token\""));
    assert!(world.stored_tokens(id).await.is_ended());
    assert_eq!(world.issuer.revocations(), 1);
}

#[tokio::test]
async fn a_panic_in_the_refresh() {
    let transport = |_: &_| {
        Transport::new(tower::service_fn(async |_| -> Result<Response<String>, std::io::Error> {
            panic!("on purpose")
        }))
    };
    let world = World::reached_by(transport);
    let id = world.log_in("alice").await;
    world.expire();
    let answer = http::ask(&guarded(&world.refresher), http::get("/", Some(id))).await;
    assert_told(&world, &answer, Kind::Internal, "internal");
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
}
