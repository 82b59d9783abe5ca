//! An older token set never overwrites a newer one (promise 4), whoever wrote that and when.

use support::{
    Op, StoredTokens, TokenOp, World, on_every_store,
    races::{
        ELSEWHERE,
        Station::{AfterPost, BeforePut},
    },
    settle,
    tokens::{changed, key_of},
};
use tower_sessions::session::Id;
use tower_token_refresh::{
    token_store::{Put, Swapped},
    tower_sessions,
};

/// Another process takes over the mark of a refresh that it holds for dead.
async fn take_over_the_mark(world: &World, id: Id) {
    let key = key_of(&world.pointer(id).await.unwrap());
    let marked = world.tokens.peek(key).await.unwrap();
    let taken = changed(&marked, |record| record["nonce"] = "00000000000000aa".into());
    let swapped = world.tokens.inner().swap(key, marked.version(), &taken).await.unwrap();
    assert_eq!(swapped, Swapped::Done);
}

on_every_store! {
    // RACES row 8: a slow holder whose mark was taken over still brings a good set.
    async fn a_set_lands_over_a_mark_that_somebody_else_has_taken_over(world: World) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(AfterPost, id).await;
        take_over_the_mark(&world, id).await;

        let token = flight.land().await.expect("the only good set there is");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.held_by("alice").await, [(id, 2)]);
        world.assert_logged_in(id).await;
    }

    async fn of_two_saves_of_one_session_neither_takes_a_generation_back(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        slow.insert("cart", 3).await.unwrap();
        let under_way = world.sessions.gate_before(Op::Save);
        let save = tokio::spawn(async move { slow.save().await });
        under_way.reached().await;

        world.refresh(id).await;
        world.refresh(id).await;
        under_way.open();
        save.await.unwrap().unwrap();

        assert_eq!(world.held_by("alice").await, [(id, 3)]);
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn a_set_that_comes_late_gives_way_to_a_newer_one_and_its_waiters_get_that() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(BeforePut, id).await;
        assert_eq!(world.store_elsewhere(id, 3).await, Put::Stored);

        let token = flight.land().await.expect("a newer token");

        assert_eq!(token.secret(), ELSEWHERE);
        assert_eq!(world.held_by("alice").await, [(id, 3)]);
        let same = world.refresher.valid_token(&world.session(id)).await.unwrap();
        assert_eq!(same.secret(), ELSEWHERE, "from the cache as well");
    }
}

#[tokio::test]
async fn a_store_keeps_the_newer_of_two_sets_in_whatever_order_they_come() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        assert_eq!(world.store_elsewhere(id, 3).await, Put::Stored);
        assert_eq!(world.store_elsewhere(id, 2).await, Put::NotNewer);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
    }
}

// A set that the store has refused waits in memory. Meanwhile another process has stored a newer
// one.
#[tokio::test(start_paused = true)]
async fn an_unsaved_set_gives_way_to_a_newer_one_in_the_store() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.tokens.refuse(TokenOp::Put);
    world.refresh(id).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
    assert_eq!(world.store_elsewhere(id, 3).await, Put::Stored);
    world.tokens.accept(TokenOp::Put);

    tokio::time::sleep(std::time::Duration::from_secs(5)).await;

    assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
    assert_eq!(world.refresher.usage().unsaved, 0);
}

// The store has lost its last write, as in a failover.
#[tokio::test]
async fn a_store_that_fell_back_gets_the_newer_tokens_again_before_anything_is_presented() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let [old] = &world.sessions.token_records().await[..] else { panic!("one token record") };
    world.refresh(id).await;
    world.sessions.overwrite(old).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));

    world.refresh(id).await;
    settle().await;

    assert!(matches!(world.stored_tokens(id).await, StoredTokens::Live { generation: 3, .. }));
    world.assert_logged_in(id).await;
}
