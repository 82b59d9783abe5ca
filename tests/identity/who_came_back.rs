//! Refreshed tokens are those of the user who logged in, or nobody gets them; and an ID token that does not verify is not kept.


use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use support::{StoredTokens, World, Op};
use serde_json::{Value, json};
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, ClientAuth, RefreshError, RefreshErrorKind, TokenEndpoint, TokenSet,
    testing::Endpoint, tower_sessions,
};

fn endpoint(world: &World) -> TokenEndpoint {
    TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(world.issuer.issuer_url())
        .revocation_url(world.issuer.revocation_url())
        .jwks_url(world.issuer.jwks_url())
        .transport(world.issuer.transport())
}

/// A world whose refresher knows where the provider's keys are.
fn world() -> World {
    let world = World::on_memory();
    let endpoint = endpoint(&world);
    world.asking(endpoint)
}

/// One whose refresher knows nothing but the token endpoint and the issuer.
fn world_without_keys() -> World {
    World::on_memory()
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url"))
        .expect("JSON")
}

/// The next answer's `field`, with other claims, well signed.
fn edit_claims_next(
    world: &World,
    field: &'static str,
    edit: impl FnOnce(&mut Value) + Send + 'static,
) {
    let issuer = world.issuer.clone();
    world.issuer.edit_next(move |answer| {
        let mut claims = claims_of(answer[field].as_str().expect("a token"));
        edit(&mut claims);
        answer[field] = json!(issuer.sign_jwt(json!({}), &claims));
    });
}

/// The next answer's `field` is this.
fn replace_next(world: &World, field: &'static str, value: impl Into<Value>) {
    let value = value.into();
    world.issuer.edit_next(move |answer| answer[field] = value);
}

async fn refresh(world: &World, id: Id) -> Result<AccessToken, RefreshError> {
    world.expire();
    world.refresher.valid_token(&world.session(id)).await
}

async fn id_token(world: &World, id: Id) -> String {
    match world.stored_tokens(id).await {
        StoredTokens::Live { payload, .. } => {
            payload["id_token"].as_str().expect("an ID token").to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// The login goes on with the new access and refresh token, and with the earlier ID token.
async fn assert_only_the_id_token_was_dropped(world: &World, id: Id, earlier: &str) {
    let token = refresh(world, id).await.expect("the access token is good");
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(token.id_token(), Some(earlier));
    assert_eq!(id_token(world, id).await, earlier);
    world.assert_logged_in(id).await;
}

/// The login has ended, for whoever waited and whoever comes; what came is dead at the provider, and no token is left in the store.
async fn assert_nobody_gets_them(world: &World, id: Id) {
    world.expire();
    let requests: Vec<_> = (0..3).map(|_| world.session(id)).collect();
    let waiting: Vec<_> = requests.iter().map(|session| world.ask(session)).collect();
    for waiter in waiting {
        let error = waiter.await.expect("no panic").expect_err("not these tokens");
        assert_eq!(error.kind(), RefreshErrorKind::SubjectChanged);
        assert_eq!(error.kind().status(), 401);
    }
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(world.issuer.revocations(), 1);
    assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
    for token in world.issuer.every_secret() {
        assert!(!world.issuer.is_refresh_token_live(&token), "what came was revoked");
    }
    let later =
        world.refresher.valid_token(&world.session(id)).await.expect_err("nobody is logged in");
    assert_eq!(later.kind(), RefreshErrorKind::NoTokens);
    let restarted = world.restarted();
    let session = support::variants::session_at(&restarted, id);
    assert_eq!(
        restarted.valid_token(&session).await.expect_err("nobody").kind(),
        RefreshErrorKind::NoTokens
    );
}

#[tokio::test]
async fn a_refreshed_id_token_that_verifies_is_kept() {
    let world = world();
    let id = world.log_in("alice").await;
    let first = id_token(&world, id).await;
    let token = refresh(&world, id).await.expect("refreshed");
    let second = id_token(&world, id).await;
    assert_ne!(first, second);
    assert_eq!(token.id_token(), Some(second.as_str()));
    assert_eq!(world.issuer.requests(Endpoint::Jwks), 1);
    refresh(&world, id).await.expect("refreshed again");
    assert_ne!(id_token(&world, id).await, second);
    assert_eq!(world.issuer.requests(Endpoint::Jwks), 1, "the keys are kept");
}

#[tokio::test]
async fn tokens_of_another_user_end_the_login() {
    for world in [world(), world_without_keys()] {
        let id = world.log_in("alice").await;
        world.issuer.switch_user_next("mallory");
        assert_nobody_gets_them(&world, id).await;
    }
}

#[tokio::test]
async fn another_sub_in_the_id_token_alone_ends_the_login() {
    let world = world();
    let id = world.log_in("alice").await;
    edit_claims_next(&world, "id_token", |claims| claims["sub"] = json!("mallory"));
    assert_nobody_gets_them(&world, id).await;
}

#[tokio::test]
async fn another_sub_ends_the_login_even_under_a_bad_signature() {
    let world = world();
    let id = world.log_in("alice").await;
    let mut claims = claims_of(&id_token(&world, id).await);
    claims["sub"] = json!("mallory");
    let payload = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    replace_next(&world, "id_token", format!("{header}.{payload}."));
    assert_nobody_gets_them(&world, id).await;
}

#[tokio::test]
async fn another_sub_in_the_access_token_alone_ends_the_login() {
    let world = world();
    let id = world.log_in("alice").await;
    edit_claims_next(&world, "access_token", |claims| claims["sub"] = json!("mallory"));
    assert_nobody_gets_them(&world, id).await;
}

#[tokio::test]
async fn another_iss_in_either_token_ends_the_login() {
    for field in ["id_token", "access_token"] {
        let world = world();
        let id = world.log_in("alice").await;
        edit_claims_next(&world, field, |claims| claims["iss"] = json!("https://evil.example"));
        assert_nobody_gets_them(&world, id).await;
    }
}

#[tokio::test]
async fn a_user_who_changed_is_found_at_a_later_refresh_as_well() {
    let world = world();
    let id = world.log_in("alice").await;
    for _ in 0..3 {
        refresh(&world, id).await.expect("alice");
    }
    world.issuer.switch_user_next("mallory");
    assert_eq!(
        refresh(&world, id).await.expect_err("mallory").kind(),
        RefreshErrorKind::SubjectChanged
    );
}

#[tokio::test]
async fn without_an_earlier_id_token_the_subject_of_the_login_counts() {
    for (subject, ends) in [("f:test:alice", false), ("somebody", true)] {
        let world = world();
        let session = world.session_with(None, None);
        let mut answer = world.issuer.log_in("alice");
        answer["id_token"] = json!(null);
        let set = TokenSet::from_response(answer).expect("a token set").with_subject(subject);
        world.refresher.log_in(&session, set).await.expect("logged in");
        let refreshed = refresh(&world, session.id().expect("saved")).await;
        assert_eq!(
            refreshed.is_err_and(|error| error.kind() == RefreshErrorKind::SubjectChanged),
            ends
        );
    }
}

#[tokio::test]
async fn opaque_access_tokens_say_nothing_that_could_change() {
    let clock_world =
        World::configured(|issuer| issuer.opaque_access_tokens(true), |builder| builder);
    let endpoint = endpoint(&clock_world);
    let world = clock_world.asking(endpoint);
    let id = world.log_in("alice").await;
    refresh(&world, id).await.expect("refreshed");
    world.assert_logged_in(id).await;
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
            ("aud", json!(["web", "another-client"])),
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
    assert_eq!((tokio_now() - started).as_secs(), 5);
    gate.open();
}

#[expect(clippy::disallowed_methods, reason = "tokio's own paused clock is what is measured")]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
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
async fn an_endpoint_that_is_not_told_its_issuer_holds_tokens_against_the_earlier_ones() {
    let world = World::on_memory();
    let nameless = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .transport(world.issuer.transport());
    let world = world.asking(nameless);
    let id = world.log_in("alice").await;
    let first = id_token(&world, id).await;
    refresh(&world, id).await.expect("refreshed");
    assert_ne!(id_token(&world, id).await, first);
    edit_claims_next(&world, "id_token", |claims| claims["iss"] = json!("https://evil.example"));
    assert_eq!(
        refresh(&world, id).await.expect_err("another iss").kind(),
        RefreshErrorKind::SubjectChanged
    );
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

#[tokio::test(start_paused = true)]
async fn the_login_has_ended_even_if_the_store_cannot_be_told() {
    let world = world();
    let id = world.log_in("alice").await;
    let request = world.request(id).await;
    world.issuer.switch_user_next("mallory");
    world.sessions.refuse(Op::Save);
    let told = refresh(&world, id).await.expect_err("mallory").kind();
    assert_eq!(
        told,
        RefreshErrorKind::LoggedOut,
        "the store holds the flight up for longer than a request waits"
    );
    for session in [request, world.session(id)] {
        world.refresher.valid_token(&session).await.expect_err("the login has ended");
    }
    assert_eq!(world.issuer.refresh_requests(), 1, "the old refresh token is not presented again");
}
