//! How long a token counts as fresh, and what a refresh takes over from the set before.

use std::time::Duration;

use serde_json::json;
use support::{LIFE, StoredTokens, World};
use tower_token_refresh::{
    RefreshPolicy,
    testing::{Endpoint, StrictIssuerBuilder},
};

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_token_is_fresh_until_the_leeway_before_its_expiry() {
    let world = World::on_memory();
    let session = world.session(world.log_in("alice").await);
    world.clock.advance(LIFE - Duration::from_secs(5) - MOMENT);
    world.refresher.valid_token(&session).await.unwrap();
    assert_eq!(world.issuer.refresh_requests(), 0);
    world.clock.advance(MOMENT);
    world.refresher.valid_token(&session).await.unwrap();
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test]
async fn tokens_that_live_for_five_seconds_or_less_are_served_for_three_quarters_of_that() {
    for life in [1, 2, 4, 5].map(Duration::from_secs) {
        let world =
            World::configured(|issuer| issuer.access_token_lifetime(life), |builder| builder);
        let session = world.session(world.log_in("alice").await);
        world.clock.advance(life * 3 / 4 - MOMENT);
        world.refresher.valid_token(&session).await.unwrap();
        assert_eq!(world.issuer.refresh_requests(), 0, "{life:?}");
        world.clock.advance(MOMENT);
        let token = world.refresher.valid_token(&session).await.unwrap();
        assert_eq!(world.issuer.refresh_requests(), 1, "{life:?}");
        assert!(world.issuer.is_access_token_live(token.secret()), "{life:?}");
    }
}

#[tokio::test]
async fn an_expires_in_that_is_no_lifetime_counts_as_none_and_loses_no_token() {
    for expires_in in [json!(0), json!(-1), json!("0"), json!("soon"), json!([300])] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        world.expire();
        world.issuer.expires_in_next(expires_in.clone());
        let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");
        let by_its_exp = world.clock.clock().now() + LIFE;
        assert_eq!(token.expires_at(), by_its_exp, "{expires_in}");
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn without_expires_in_the_jwts_own_exp_counts() {
    let world = World::on_memory();
    let session = world.session(world.log_in("alice").await);
    world.expire();
    world.issuer.omit_expires_in_next();
    let token = world.refresher.valid_token(&session).await.unwrap();
    assert_eq!(token.expires_at(), world.clock.clock().now() + LIFE);
}

#[tokio::test]
async fn without_expires_in_and_without_a_jwt_the_fallback_lifetime_counts() {
    let fallback = Duration::from_secs(90);
    let world = World::configured(
        |issuer| issuer.opaque_access_tokens(true),
        |builder| builder.policy(RefreshPolicy::default().fallback_lifetime(fallback)),
    );
    let session = world.session(world.log_in("alice").await);
    world.expire();
    world.issuer.omit_expires_in_next();
    let token = world.refresher.valid_token(&session).await.unwrap();
    assert_eq!(token.expires_at(), world.clock.clock().now() + fallback);
}

#[tokio::test]
async fn a_lifetime_counts_from_when_the_request_was_sent() {
    let world = World::on_memory();
    let session = world.session(world.log_in("alice").await);
    world.expire();
    let sent_at = world.clock.clock().now();
    let gate = world.issuer.gate_after(Endpoint::Token);
    let request = world.ask(&session);
    gate.reached().await;
    world.clock.advance(Duration::from_secs(8));
    gate.open();
    assert_eq!(request.await.unwrap().unwrap().expires_at(), sent_at + LIFE);
}

#[tokio::test]
async fn opaque_tokens_are_refreshed_like_any_other() {
    let world = World::configured(
        |issuer| issuer.opaque_access_tokens(true).opaque_refresh_tokens(true).without_id_tokens(),
        |builder| builder,
    );
    let id = world.log_in("alice").await;
    for generation in 2..5 {
        world.expire();
        let session = world.session(id);
        let token = world.refresher.valid_token(&session).await.unwrap();
        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(token.subject(), None);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(generation));
    }
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn an_answer_without_a_refresh_token_keeps_the_one_before() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let kept = world.stored_refresh_token(id).await.unwrap();
    world.expire();
    world.issuer.omit_refresh_token_next();
    world.refresher.valid_token(&world.session(id)).await.unwrap();
    assert_eq!(world.stored_refresh_token(id).await.as_ref(), Some(&kept));

    world.expire();
    let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.presented(&kept), 2, "it was good a second time");
}

#[tokio::test]
async fn a_provider_that_does_not_rotate_is_served_as_well() {
    let world = World::configured(StrictIssuerBuilder::without_rotation, |builder| builder);
    let id = world.log_in("alice").await;
    for _ in 0..3 {
        world.expire();
        let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
        assert!(world.issuer.is_access_token_live(token.secret()));
    }
    assert_eq!(world.issuer.refresh_requests(), 3);
}

#[tokio::test]
async fn an_answer_without_an_id_token_or_a_scope_keeps_those_before() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let before = id_token_and_scope(world.stored_tokens(id).await);
    world.expire();
    world.issuer.edit_next(|answer| {
        let answer = answer.as_object_mut().unwrap();
        answer.remove("id_token");
        answer.remove("scope");
    });
    let token = world.refresher.valid_token(&world.session(id)).await.unwrap();
    assert!(before.0.is_some() && before.1.is_some());
    assert_eq!(id_token_and_scope(world.stored_tokens(id).await), before);
    assert_eq!(token.scope(), before.1.as_deref());
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
}

fn id_token_and_scope(tokens: StoredTokens) -> (Option<String>, Option<String>) {
    let StoredTokens::Live { payload, .. } = tokens else { panic!("there are tokens") };
    let text = |field: &str| payload[field].as_str().map(str::to_owned);
    (text("id_token"), text("scope"))
}
