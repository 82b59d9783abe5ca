//! Refreshed tokens are those of the user who logged in, or nobody gets them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use support::{StoredTokens, TokenOp, World, settle, variants::session_at};
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, ClientAuth, RefreshError, RefreshErrorKind, TokenEndpoint, TokenSet,
    tower_sessions,
};

pub(super) fn endpoint(world: &World) -> TokenEndpoint {
    TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(world.issuer.issuer_url())
        .revocation_url(world.issuer.revocation_url())
        .jwks_url(world.issuer.jwks_url())
        .transport(world.issuer.transport())
}

/// A world whose refresher knows where the provider's keys are.
pub(super) fn world() -> World {
    let world = World::on_memory();
    let endpoint = endpoint(&world);
    world.asking(endpoint)
}

/// One whose refresher knows nothing but the token endpoint and the issuer.
pub(super) fn world_without_keys() -> World {
    World::on_memory()
}

pub(super) fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url"))
        .expect("JSON")
}

/// The next answer's `field`, with other claims, well signed.
pub(super) fn edit_claims_next(
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
pub(super) fn replace_next(world: &World, field: &'static str, value: impl Into<Value>) {
    let value = value.into();
    world.issuer.edit_next(move |answer| answer[field] = value);
}

pub(super) async fn refresh(world: &World, id: Id) -> Result<AccessToken, RefreshError> {
    world.expire();
    world.refresher.valid_token(&world.session(id)).await
}

pub(super) async fn id_token(world: &World, id: Id) -> String {
    match world.stored_tokens(id).await {
        StoredTokens::Live { payload, .. } => {
            payload["id_token"].as_str().expect("an ID token").to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// The login has ended, for whoever waited and whoever comes; what came is dead at the provider,
/// and no token is left in the store.
async fn assert_nobody_gets_them(world: &World, id: Id) {
    world.expire();
    let requests: Vec<_> = (0..3).map(|_| world.session(id)).collect();
    let waiting: Vec<_> = requests.iter().map(|session| world.ask(session)).collect();
    for waiter in waiting {
        let error = waiter.await.expect("no panic").expect_err("not these tokens");
        assert_eq!(error.kind(), RefreshErrorKind::SubjectChanged);
        assert_eq!(error.kind().status(), 401);
    }
    settle().await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(world.issuer.revocations(), 1);
    let ended = world.stored_tokens(id).await;
    let StoredTokens::Ended { why, revoke, .. } = ended else { panic!("{ended:?}") };
    assert_eq!((why.as_str(), revoke), ("subject_changed", true));
    for token in world.issuer.every_secret() {
        assert!(!world.issuer.is_refresh_token_live(&token), "what came was revoked");
    }
    for process in [world.refresher.clone(), world.restarted()] {
        let error = process.valid_token(&session_at(&process, id)).await.expect_err("ended");
        assert_eq!(error.kind(), RefreshErrorKind::SubjectChanged);
    }
    assert_eq!(world.issuer.refresh_requests(), 1);
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

/// Told at once, however long the store takes.
#[tokio::test(start_paused = true)]
async fn the_login_has_ended_even_if_the_store_cannot_be_told() {
    for hangs in [false, true] {
        let world = world();
        let id = world.log_in("alice").await;
        world.issuer.switch_user_next("mallory");
        let stuck = hangs.then(|| world.tokens.gate_before(TokenOp::End));
        world.tokens.refuse(TokenOp::End);
        let request = world.request(id).await;
        let told = refresh(&world, id).await.expect_err("mallory").kind();
        assert_eq!(told, RefreshErrorKind::SubjectChanged);
        for session in [request, world.session(id)] {
            let error = world.refresher.valid_token(&session).await.expect_err("it has ended");
            assert_eq!(error.kind(), RefreshErrorKind::SubjectChanged);
        }
        assert_eq!(world.issuer.refresh_requests(), 1, "the old token is not presented again");

        drop(stuck);
        world.tokens.accept(TokenOp::End);
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert!(world.stored_tokens(id).await.is_ended(), "the store is told as soon as it can be");
    }
}
