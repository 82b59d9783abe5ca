//! How long an access token is served.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use support::World;
use tower_token_refresh::{RefreshErrorKind, TokenSet};

use crate::stage::{kind, response, world};

const SECOND: Duration = Duration::from_secs(1);

/// Nobody here looks at its signature.
fn jwt(claims: &serde_json::Value) -> String {
    let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(claims))
}

async fn log_in(world: &World, tokens: serde_json::Value) -> tower_sessions::session::Id {
    let session = world.session_with(None, None);
    let set = TokenSet::from_response(tokens).expect("tokens");
    world.refresher.log_in(&session, set).await.expect("logged in");
    session.id().expect("saved")
}

/// The answer says an hour, the token itself 60 s.
#[tokio::test]
async fn the_earlier_of_expires_in_and_exp_counts() {
    let (world, director) = world();
    let id = world.log_in("alice").await;
    director.told_as(|mut body| {
        body["expires_in"] = json!(3600);
        response(200, body.to_string())
    });
    world.expire();
    assert_eq!(kind(&world, id).await, Ok(()));
    world.clock.advance(SECOND * 61);
    assert_eq!(kind(&world, id).await, Ok(()));
    assert_eq!(world.issuer.refreshes(), 2, "not an expired token for an hour");
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_token_without_a_lifetime_and_without_a_refresh_token_is_served_until_an_api_refuses_it()
{
    let (world, _) = world();
    let id =
        log_in(&world, json!({"access_token": "gho_16C7e42F292c6912E7710c838347Ae178B4a"})).await;
    world.clock.advance(SECOND * 3600 * 24 * 20);
    let session = world.session(id);
    let token = world.refresher.valid_token(&session).await.expect("served");
    assert!(!token.is_stale());
    let refused = world.refresher.newer_token(&session, &token).await.expect_err("no newer one");
    assert_eq!(refused.kind(), RefreshErrorKind::SessionExpired);
    assert_eq!(world.issuer.token_requests(), 0);
}

#[tokio::test]
async fn one_with_a_refresh_token_is_refreshed_after_an_hour_or_a_refusal() {
    let (world, director) = world();
    director.told_as(|mut body| {
        body.as_object_mut().expect("an object").remove("expires_in");
        body["access_token"] =
            json!(format!("opaque-{}", body["refresh_token"].as_str().map_or(0, str::len)));
        response(200, body.to_string())
    });
    let mut tokens = world.issuer.log_in("alice");
    tokens["access_token"] = json!("opaque");
    tokens.as_object_mut().expect("an object").remove("expires_in");
    let id = log_in(&world, tokens).await;
    world.clock.advance(SECOND * 3500);
    assert_eq!(kind(&world, id).await, Ok(()));
    support::settle().await;
    assert_eq!(world.issuer.refreshes(), 0);
    world.clock.advance(SECOND * 100);
    assert_eq!(kind(&world, id).await, Ok(()));
    assert_eq!(world.issuer.refreshes(), 1);

    let session = world.session(id);
    let token = world.refresher.valid_token(&session).await.expect("served");
    world.refresher.newer_token(&session, &token).await.expect("a newer one");
    assert_eq!(world.issuer.refreshes(), 2);
    world.assert_logged_in(id).await;
}

/// Our clock is an hour ahead, so each JWT seems to have expired at birth, and no `expires_in` says
/// otherwise.
#[tokio::test]
async fn a_clock_that_is_wrong_is_noticed_by_the_providers_date() {
    our_clock_is_ahead_by(SECOND * 3600).await;
}

/// Ahead by nearly a token's life, it would ask for a new token every few seconds.
#[tokio::test]
async fn a_clock_that_leaves_a_token_only_a_few_seconds_is_noticed_too() {
    our_clock_is_ahead_by(SECOND * 57).await;
}

async fn our_clock_is_ahead_by(ahead: Duration) {
    let (world, director) = world();
    let id = world.log_in("alice").await;
    let clock = world.clock.clone();
    director.rule(move |issuer, request| {
        let answer = issuer.handle(request);
        let mut body: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
        body.as_object_mut().expect("an object").remove("expires_in");
        // The provider's clock is right: so are its tokens and its `Date`.
        let now = clock.clock().now() - ahead;
        let exp = now + SECOND * 60;
        let seconds = exp.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        body["access_token"] = json!(jwt(&json!({"exp": seconds})));
        let mut answer = response(200, body.to_string());
        let date = httpdate::fmt_http_date(now).parse().expect("a date");
        answer.headers_mut().insert("date", date);
        answer
    });
    world.expire();
    for _ in 0..4 {
        assert_eq!(kind(&world, id).await, Ok(()));
        world.clock.advance(SECOND * 8);
    }
    assert_eq!(world.issuer.refreshes(), 1, "it is served for its 60 s");
    world.clock.advance(SECOND * 61);
    assert_eq!(kind(&world, id).await, Ok(()));
    assert_eq!(world.issuer.refreshes(), 2);
    world.assert_logged_in(id).await;
}

/// A refresh that brought a refresh token only has left the access token as it was.
#[tokio::test]
async fn a_rejected_token_is_not_handed_out_as_a_newer_one() {
    let (world, director) = world();
    let id = world.log_in("alice").await;
    let session = world.session(id);
    let rejected = world.refresher.valid_token(&session).await.expect("fresh");
    director.told_as(|mut body| {
        body["token_type"] = json!("DPoP");
        response(200, body.to_string())
    });
    for _ in 0..3 {
        let error = world.refresher.newer_token(&session, &rejected).await.expect_err("none");
        assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse);
    }
    assert_eq!(world.issuer.refreshes(), 1);
    director.honest();
    world.clock.advance(SECOND);
    let newer = world.refresher.newer_token(&session, &rejected).await.expect("a newer one");
    assert_ne!(newer.secret(), rejected.secret());
    world.assert_logged_in(id).await;
}
