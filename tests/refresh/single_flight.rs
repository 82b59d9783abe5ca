//! One refresh for any number of concurrent requests.

use futures_util::future::join_all;
use support::{StoredTokens, TokenOp, World, settle, shown_pointer};
use tower_sessions::session::Id;
use tower_token_refresh::{AccessToken, testing::Endpoint, tower_sessions};

/// `n` requests of one session, each with a `Session` of its own, all asking at once.
async fn storm(world: &World, id: Id, n: usize) -> Vec<AccessToken> {
    let requests = (0..n).map(|_| {
        let (refresher, session) = (world.refresher.clone(), world.session(id));
        tokio::spawn(async move { refresher.valid_token(&session).await })
    });
    join_all(requests.collect::<Vec<_>>())
        .await
        .into_iter()
        .map(|joined| joined.expect("no panic").expect("a token"))
        .collect()
}

async fn one_post_for(n: usize) {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let tokens = storm(&world, id, n).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert!(tokens.iter().all(|token| token.secret() == tokens[0].secret()));
    assert!(world.issuer.is_access_token_live(tokens[0].secret()));
    world.assert_logged_in(id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_makes_one_post() {
    one_post_for(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_callers_make_one_post() {
    one_post_for(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_callers_make_one_post() {
    one_post_for(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_make_one_post() {
    one_post_for(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_make_one_post() {
    one_post_for(10_000).await;
}

#[tokio::test]
async fn a_fresh_token_needs_no_post() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let token = world.refresher.valid_token(&world.session(id)).await.expect("fresh");
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.token_requests(), 0);
}

#[tokio::test]
async fn two_users_are_refreshed_side_by_side() {
    let world = World::on_memory();
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    world.expire();
    let (one, another) =
        (world.issuer.gate_before(Endpoint::Token), world.issuer.gate_before(Endpoint::Token));
    let (for_alice, for_bob) = (world.ask(&world.session(alice)), world.ask(&world.session(bob)));

    one.reached().await;
    another.reached().await;
    assert_eq!(world.issuer.refresh_requests(), 0, "both stand before the issuer at once");
    one.open();
    another.open();

    let (for_alice, for_bob) = (for_alice.await.unwrap().unwrap(), for_bob.await.unwrap().unwrap());
    assert_eq!(for_alice.subject(), Some(world.issuer.subject_of("alice").as_str()));
    assert_eq!(for_bob.subject(), Some(world.issuer.subject_of("bob").as_str()));
    assert_eq!(world.issuer.refresh_requests(), 2);
    world.assert_logged_in(alice).await;
    world.assert_logged_in(bob).await;
}

#[tokio::test]
async fn two_devices_of_one_user_never_share_a_refresh() {
    let world = World::on_memory();
    let (phone, laptop) = (world.log_in("alice").await, world.log_in("alice").await);
    world.expire();
    let (one, another) =
        (world.issuer.gate_before(Endpoint::Token), world.issuer.gate_before(Endpoint::Token));
    let (on_phone, on_laptop) =
        (world.ask(&world.session(phone)), world.ask(&world.session(laptop)));
    one.reached().await;
    another.reached().await;
    another.open();
    one.open();

    let (on_phone, on_laptop) =
        (on_phone.await.unwrap().unwrap(), on_laptop.await.unwrap().unwrap());
    assert_ne!(on_phone.secret(), on_laptop.secret());
    assert_eq!(stored_access_token(&world, phone).await, on_phone.secret());
    assert_eq!(stored_access_token(&world, laptop).await, on_laptop.secret());
    world.assert_logged_in(phone).await;
    world.assert_logged_in(laptop).await;
}

async fn stored_access_token(world: &World, id: Id) -> String {
    match world.stored_tokens(id).await {
        StoredTokens::Live { payload, .. } => payload["access_token"].as_str().unwrap().to_owned(),
        other => panic!("expected tokens, found {other:?}"),
    }
}

#[tokio::test]
async fn each_expiry_makes_one_post() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    for expiry in 1..=5 {
        world.expire();
        storm(&world, id, 10).await;
        assert_eq!(world.issuer.refresh_requests(), expiry);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1 + expiry as u64));
    }
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn no_waiter_goes_on_before_the_store_holds_the_new_tokens() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        let (leader, follower) = (world.session(id), world.session(id));
        world.expire();
        let (before, after) =
            (world.tokens.gate_before(TokenOp::Put), world.tokens.gate_after(TokenOp::Put));
        let waiters = [world.ask(&leader), world.ask(&follower)];

        before.reached().await;
        settle().await;
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
        assert!(
            waiters.iter().all(|waiter| !waiter.is_finished()),
            "the provider has answered, the store has not"
        );
        before.open();
        after.reached().await;
        settle().await;
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert!(
            waiters.iter().all(|waiter| !waiter.is_finished()),
            "the store has not confirmed yet"
        );
        after.open();
        for waiter in waiters {
            waiter.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_caller_that_comes_while_new_tokens_are_stored_waits_for_that() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let put = world.tokens.gate_before(TokenOp::Put);
    let first = world.ask(&world.session(id));
    put.reached().await;
    let second = world.ask(&world.session(id));
    settle().await;
    assert!(!second.is_finished(), "the provider has answered, the store has not");
    put.open();
    assert_eq!(first.await.unwrap().unwrap().secret(), second.await.unwrap().unwrap().secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test]
async fn a_refresh_leaves_a_waiters_own_session_as_it_is() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let session = world.session(id);
    session.insert("basket", "3 apples").await.unwrap();
    let pointer = shown_pointer(&session).await;

    let token = world.refresher.valid_token(&session).await.unwrap();

    assert_eq!(shown_pointer(&session).await, pointer);
    session.save().await.unwrap();
    let stored = world.stored(id).await.unwrap();
    assert_eq!(stored.data["basket"], "3 apples");
    assert_eq!(stored_access_token(&world, id).await, token.secret());
}

#[tokio::test]
async fn a_session_whose_id_was_cycled_earlier_in_the_request_is_refreshed_all_the_same() {
    let world = World::on_memory();
    let old = world.log_in("alice").await;
    world.expire();
    let session = world.session(old);
    session.cycle_id().await.unwrap();

    let token = world.refresher.valid_token(&session).await.unwrap();

    session.save().await.unwrap();
    let new = session.id().expect("it was saved");
    assert_ne!(old, new);
    assert_eq!(stored_access_token(&world, new).await, token.secret());
    assert_eq!(world.stored(old).await, None);
    world.assert_logged_in(new).await;
}
