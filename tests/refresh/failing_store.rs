//! The session store fails at the worst moment.


use std::time::Duration;

use support::{
    World,
    races::Station,
    settle,
    store::{Op, ScriptedStore},
};
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{Logout, RefreshErrorKind, Revocation, tower_sessions};

/// The second `cycle_id` makes its record, and the store refuses the tombstone in the first one.
async fn moved_with_a_refused_tombstone(world: &World) -> Session {
    let id = world.log_in("alice").await;
    let (one, two) = (world.request(id).await, world.request(id).await);
    one.cycle_id().await.expect("cycled");
    one.save().await.expect("saved");
    two.cycle_id().await.expect("cycled");
    world.sessions.fail_next(Op::Save);
    two.save().await.expect("the record is made, and its id is told");
    assert_eq!(world.held_by("alice").await.len(), 2, "the store refuses the tombstone for now");
    two
}

#[tokio::test(start_paused = true)]
async fn a_refused_tombstone_neither_fails_the_request_nor_leaves_a_second_login() {
    let world = World::on_memory();
    let two = moved_with_a_refused_tombstone(&world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    settle().await;

    let home = two.id().expect("saved");
    assert_eq!(world.held_by("alice").await, [(home, 1)]);
    world.refresh(home).await;
    world.assert_logged_in(home).await;
}

/// The process ends before the store is asked again.
#[tokio::test(start_paused = true)]
async fn a_shutdown_buries_what_a_move_has_left() {
    let world = World::on_memory();
    let two = moved_with_a_refused_tombstone(&world).await;

    assert_eq!(world.refresher.shutdown(Duration::from_secs(60)).await, Ok(()));

    assert_eq!(world.held_by("alice").await, [(two.id().expect("saved"), 1)]);
}

/// A flight lands while the record is being made, and the store refuses to write that into it.
async fn landed_while_moving(world: &World, refuse: impl FnOnce(&ScriptedStore)) -> Id {
    let id = world.log_in("alice").await;
    let cycling = world.request(id).await;
    let flight = world.flight_at(Station::AfterPost, id).await;
    cycling.cycle_id().await.expect("cycled");
    let creating = world.sessions.gate_before(Op::Create);
    let saving = {
        let cycling = cycling.clone();
        tokio::spawn(async move { cycling.save().await })
    };
    creating.reached().await;
    flight.land().await.expect("a token");
    refuse(&world.store);
    creating.open();
    saving.await.expect("no panic").expect("the record is made");
    cycling.id().expect("saved")
}

#[tokio::test(start_paused = true)]
async fn a_refused_comparison_leaves_the_newest_tokens_pending() {
    let world = World::on_memory();
    let home = landed_while_moving(&world, |store| store.fail_next(Op::Save)).await;
    world.refresher.valid_token(&world.session(home)).await.expect("from memory");
    settle().await;
    assert_eq!(world.held_by("alice").await, [(home, 2)]);
    world.assert_logged_in(home).await;
}

/// No request comes any more: the set is written by the background task, or by the shutdown.
#[tokio::test(start_paused = true)]
async fn what_a_refused_comparison_leaves_is_written_without_a_request() {
    for shutdown in [false, true] {
        let world = World::patient();
        let home = landed_while_moving(&world, |store| store.refuse(Op::Save)).await;
        assert_eq!(world.held_by("alice").await, [(home, 1)]);
        world.sessions.accept(Op::Save);

        if shutdown {
            assert_eq!(world.refresher.shutdown(Duration::from_secs(20)).await, Ok(()));
        } else {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }

        assert_eq!(world.held_by("alice").await, [(home, 2)], "shutdown: {shutdown}");
        assert_eq!(world.issuer.refresh_requests(), 1);
        world.assert_logged_in(home).await;
    }
}

#[tokio::test(start_paused = true)]
async fn log_out_survives_a_session_that_cannot_be_read_at_first() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.sessions.fail_next(Op::Load);

    let done =
        world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");

    assert!(matches!(done.revocation, Revocation::Revoked));
    world.assert_dead_at_the_provider();
}

/// Neither reads nor writes work once the provider has answered: the waiter is served what this process holds.
#[tokio::test(start_paused = true)]
async fn a_waiter_is_served_though_the_whole_store_is_down() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let flight = world.flight_at(Station::AfterPost, id).await;
    world.sessions.refuse(Op::Save);
    world.sessions.refuse(Op::Load);

    let token = flight.land().await.expect("a token");

    assert!(world.issuer.is_access_token_live(token.secret()));
    world.sessions.accept(Op::Save);
    world.sessions.accept(Op::Load);
    world.refresher.valid_token(&world.session(id)).await.expect("from memory");
    settle().await;
    world.assert_logged_in(id).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_the_re_read_holds_nobody_for_longer_than_ten_seconds() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    let session = world.request(id).await;
    world.expire();
    let _stuck = world.sessions.gate_before(Op::Load);
    let told =
        tokio::time::timeout(Duration::from_millis(10_100), world.refresher.valid_token(&session))
            .await;
    assert_eq!(told.expect("in time").unwrap_err().kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 0, "nobody knows what the store holds");
}
