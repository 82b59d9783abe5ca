//! An answer that was made for somebody else is good enough for nobody who cannot use it.


use std::time::Duration;

use support::{
    World, on_every_store,
    races::Station::{AfterReRead, BeforePost},
    settle, shown_generation,
    Op,
};
use serde_json::json;
use tower_sessions::MemoryStore;
use tower_token_refresh::{RefreshPolicy, tower_sessions};

on_every_store! {
    async fn a_late_caller_gets_what_the_flight_brought_and_starts_none(world: World) {
        let id = world.log_in("alice").await;
        let late = world.request(id).await;
        let token = world.refresh(id).await;
        world.clock.advance(Duration::from_secs(20));

        let again = world.refresher.valid_token(&late).await.expect("a token");

        assert_eq!(again.secret(), token.secret());
        assert_eq!(shown_generation(&late).await, Some(2));
        assert_eq!(world.issuer.refresh_requests(), 1);
    }

    // Tokens that live for 10 s, and a caller that comes 20 s after the flight.
    async fn a_late_caller_never_gets_a_token_that_has_expired_meanwhile(world: World) {
        let id = world.log_in("alice").await;
        let late = world.request(id).await;
        world.issuer.edit_next(|answer| answer["expires_in"] = json!(10));
        world.refresh(id).await;
        world.clock.advance(Duration::from_secs(20));

        world.refresher.valid_token(&late).await.expect("a newer token");

        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        assert_eq!(shown_generation(&late).await, Some(3));
        world.assert_logged_in(id).await;
    }

    // The flight was started for one that held the set before, and finds in the store what this caller already holds.
    async fn a_caller_that_holds_what_a_flight_finds_gets_a_newer_one(world: World) {
        let id = world.log_in("alice").await;
        let old = world.request(id).await;
        world.refresh(id).await;
        // A process that has not seen the refresh.
        let mut world = world;
        world.refresher = world.restarted();
        let current = world.request(id).await;
        let rejected = world.refresher.valid_token(&current).await.expect("still fresh");
        let old = {
            let text = old.get_value(support::KEY).await.unwrap().unwrap();
            let session = world.request(id).await;
            // As if it had come through the guard of this process: an entry's first two letters say which guard.
            let mine = session.get_value(support::KEY).await.unwrap().unwrap();
            let text = format!("{}{}", &mine.as_str().unwrap()[..2], &text.as_str().unwrap()[2..]);
            session.insert_value(support::KEY, text.into()).await.unwrap();
            session
        };
        let flight = world.flight_of(AfterReRead, old).await;
        let asking = tokio::spawn({
            let refresher = world.refresher.clone();
            async move { refresher.newer_token(&current, &rejected).await.map(|token| (token, rejected)) }
        });
        settle().await;

        flight.land().await.expect("what the store held is good enough for the first");
        let (newer, rejected) = asking.await.unwrap().expect("a newer token");

        assert_ne!(newer.secret(), rejected.secret());
        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        assert_eq!(world.issuer.refresh_requests(), 2);
        world.assert_logged_in(id).await;
    }

    async fn a_request_that_is_dropped_while_it_waits_leaves_the_tokens_in_the_store(world: World) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(BeforePost, id).await;
        flight.waiter.abort();

        flight.land_alone().await;

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }
}

// The store takes nothing for a while. Whoever asks meanwhile must not present the consumed token again.
#[tokio::test(start_paused = true)]
async fn tokens_that_the_store_refuses_are_kept_in_memory_and_written_later() {
    let policy = RefreshPolicy::default().store_timeout(Duration::from_secs(2));
    let world = World::on(MemoryStore::default(), |builder| builder.policy(policy));
    let id = world.log_in("alice").await;
    world.sessions.refuse(Op::Save);

    let token = world.refresh(id).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "the store is behind");
    let another = world.refresher.valid_token(&world.session(id)).await.expect("from memory");
    assert_eq!(another.secret(), token.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);

    world.sessions.accept(Op::Save);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.refresher.valid_token(&world.session(id)).await.expect("from memory");
    settle().await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    world.assert_logged_in(id).await;
}
