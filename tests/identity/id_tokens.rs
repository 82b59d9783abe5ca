//! A refreshed ID token that does not verify is not kept; the login goes on with the earlier one.

use serde_json::json;
use support::{StoredTokens, World, tokio_now};
use tower_sessions::session::Id;
use tower_token_refresh::{Logout, testing::Endpoint, tower_sessions};

use super::who_came_back::{
    edit_claims_next, id_token, refresh, replace_next, world, world_without_keys,
};

/// The login goes on with the new access and refresh token, and with the earlier ID token.
async fn assert_only_the_id_token_was_dropped(world: &World, id: Id, earlier: &str) {
    let token = refresh(world, id).await.expect("the access token is good");
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(id_token(world, id).await, earlier);
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_refreshed_id_token_that_verifies_is_kept() {
    let world = world();
    let id = world.log_in("alice").await;
    let first = id_token(&world, id).await;
    refresh(&world, id).await.expect("refreshed");
    let second = id_token(&world, id).await;
    assert_ne!(first, second);
    assert_eq!(world.issuer.requests(Endpoint::Jwks), 1);
    refresh(&world, id).await.expect("refreshed again");
    let third = id_token(&world, id).await;
    assert_ne!(third, second);
    assert_eq!(world.issuer.requests(Endpoint::Jwks), 1, "the keys are kept");
    let logged_out = world.refresher.log_out(&world.session(id), Logout::EndSession).await;
    assert_eq!(logged_out.expect("logged out").id_token(), Some(third.as_str()));
}

#[tokio::test]
async fn an_id_token_whose_signature_is_wrong_is_dropped_and_the_login_goes_on() {
    let world = world();
    let id = world.log_in("alice").await;
    let earlier = id_token(&world, id).await;
    world.issuer.edit_next(|answer| {
        let token = answer["id_token"].as_str().expect("an ID token");
        let (signed, signature) = token.rsplit_once('.').expect("a JWT");
        let forged = signature.chars().rev().skip(6).collect::<String>();
        answer["id_token"] = json!(format!("{signed}.{forged}"));
    });
    assert_only_the_id_token_was_dropped(&world, id, &earlier).await;
    refresh(&world, id).await.expect("the next one is good again");
    assert_ne!(id_token(&world, id).await, earlier);
}

#[tokio::test]
async fn an_id_token_for_somebody_elses_ears_or_past_its_time_is_dropped() {
    for world in [world, world_without_keys] {
        for (claim, value) in [
            ("aud", json!("another-client")),
            ("azp", json!("another-client")),
            ("exp", json!(1_000_000_000)),
            ("iat", json!(3_000_000_000_u64)),
            ("nbf", json!(3_000_000_000_u64)),
        ] {
            let world = world();
            let id = world.log_in("alice").await;
            let earlier = id_token(&world, id).await;
            edit_claims_next(&world, "id_token", move |claims| {
                if claim == "aud" {
                    claims.as_object_mut().expect("claims").remove("azp");
                }
                claims[claim] = value;
            });
            assert_only_the_id_token_was_dropped(&world, id, &earlier).await;
        }
    }
}

/// OpenID Connect Core 1.0, 12.2: one that has a nonce has that of the login.
#[tokio::test]
async fn an_id_token_with_the_nonce_of_another_login_is_dropped() {
    let world = world();
    let id = world.log_in("alice").await;
    let with_nonce = |nonce: &'static str| {
        edit_claims_next(&world, "id_token", move |claims| claims["nonce"] = json!(nonce));
    };
    // Where the first one had none, there is nothing to compare with.
    with_nonce("of-this-login");
    refresh(&world, id).await.expect("refreshed");
    let earlier = id_token(&world, id).await;
    with_nonce("of-another");
    assert_only_the_id_token_was_dropped(&world, id, &earlier).await;
    with_nonce("of-this-login");
    refresh(&world, id).await.expect("refreshed");
    assert_ne!(id_token(&world, id).await, earlier);
}

#[tokio::test]
async fn an_id_token_that_is_none_is_dropped() {
    for odd in ["opaque", "a.b.c", "a.b.c.d.e", "..."] {
        let world = world();
        let id = world.log_in("alice").await;
        let earlier = id_token(&world, id).await;
        replace_next(&world, "id_token", odd);
        assert_only_the_id_token_was_dropped(&world, id, &earlier).await;
    }
}

#[tokio::test]
async fn a_dropped_id_token_takes_its_sid_with_it() {
    let world = world();
    let id = world.log_in("alice").await;
    let sid = |entry| match entry {
        StoredTokens::Live { payload, .. } => payload["sid"].clone(),
        other => panic!("{other:?}"),
    };
    let earlier = sid(world.stored_tokens(id).await);
    assert!(earlier.is_string());
    edit_claims_next(&world, "id_token", |claims| {
        claims["sid"] = json!("another");
        claims["aud"] = json!("another-client");
    });
    refresh(&world, id).await.expect("refreshed");
    assert_eq!(sid(world.stored_tokens(id).await), earlier);
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_cost_the_id_token_only() {
    let world = world();
    let id = world.log_in("alice").await;
    let earlier = id_token(&world, id).await;
    world.issuer.fail_next_at(Endpoint::Jwks, 503, "");
    assert_only_the_id_token_was_dropped(&world, id, &earlier).await;
    refresh(&world, id).await.expect("refreshed");
    assert_ne!(id_token(&world, id).await, earlier, "the keys are back");
}

#[tokio::test(start_paused = true)]
async fn keys_that_never_come_hold_nobody_up_for_long() {
    let world = world();
    let id = world.log_in("alice").await;
    let earlier = id_token(&world, id).await;
    let gate = world.issuer.gate_before(Endpoint::Jwks);
    let started = tokio_now();
    assert_only_the_id_token_was_dropped(&world, id, &earlier).await;
    assert_eq!((tokio_now() - started).as_secs(), 2);
    gate.open();
}

#[tokio::test]
async fn the_providers_keys_change_and_nobody_notices() {
    let world = world();
    let id = world.log_in("alice").await;
    refresh(&world, id).await.expect("refreshed");
    world.issuer.rotate_keys();
    let before = id_token(&world, id).await;
    refresh(&world, id).await.expect("refreshed");
    assert_ne!(id_token(&world, id).await, before, "verified by the new key");
    assert_eq!(world.issuer.requests(Endpoint::Jwks), 2);
}

#[tokio::test]
async fn a_refresh_without_an_id_token_keeps_the_earlier_one_and_fetches_no_keys() {
    let world = world();
    let id = world.log_in("alice").await;
    let earlier = id_token(&world, id).await;
    replace_next(&world, "id_token", json!(null));
    assert_only_the_id_token_was_dropped(&world, id, &earlier).await;
    replace_next(&world, "id_token", earlier.clone());
    assert_only_the_id_token_was_dropped(&world, id, &earlier).await;
    assert_eq!(world.issuer.requests(Endpoint::Jwks), 0);
}
