//! Log out ends a login wherever its session has moved, and with `EndSession` all that was in the session.


use support::{
    StoredTokens, World, on_every_store, settle,
    store::{Gate, Op},
};
use tokio::task::JoinHandle;
use tower_sessions::{Session, session};
use tower_token_refresh::{
    Logout::{EndSession, KeepSession},
    tower_sessions,
};

/// A response saves its session, which has got a new id; the record has been made, and the store has not answered yet.
async fn saved_up_to(
    world: &World,
    cycling: &Session,
) -> (Gate, JoinHandle<Result<(), session::Error>>) {
    let made = world.sessions.gate_after(Op::Create);
    let cycling = cycling.clone();
    let save = tokio::spawn(async move { cycling.save().await });
    made.reached().await;
    (made, save)
}

on_every_store! {
    // Nor anything else of the session that was deleted: it may say who is logged in, too.
    async fn cycling_the_id_after_log_out_carries_nothing_into_the_new_session(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        slow.insert("user", "alice").await.unwrap();

        world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
        slow.cycle_id().await.unwrap();
        slow.save().await.unwrap();

        let fresh = world.stored(slow.id().unwrap()).await.expect("a session like any new one");
        assert!(fresh.data.is_empty());
        assert_eq!(world.held_by("alice").await, []);
    }

    // It cannot know whose session it is any more, so a new id would take along what says who is logged in.
    async fn a_request_that_comes_while_log_out_deletes_the_session_sees_nothing_of_it(world: World) {
        let id = world.log_in("alice").await;
        let before = world.request(id).await;
        before.insert("user", "alice").await.unwrap();
        before.save().await.unwrap();
        let deleted = world.sessions.gate_before(Op::Delete);
        let leaving = world.log_out(&world.session(id), EndSession);
        deleted.reached().await;

        let late = world.request(id).await;
        assert_eq!(late.get_value("user").await.unwrap(), None);
        let cycling = tokio::spawn({
            let late = late.clone();
            async move {
                late.cycle_id().await?;
                late.save().await
            }
        });
        settle().await;
        deleted.open();
        leaving.await.unwrap().unwrap();
        cycling.await.unwrap().unwrap();

        let fresh = world.stored(late.id().unwrap()).await.expect("a session like any new one");
        assert!(fresh.data.is_empty());
    }

    async fn cycling_the_id_of_a_session_that_is_kept_carries_everything_but_the_tokens(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        slow.insert("cart", 3).await.unwrap();

        world.log_out(&world.session(id), KeepSession).await.unwrap().unwrap();
        slow.cycle_id().await.unwrap();
        slow.save().await.unwrap();

        let fresh = world.stored(slow.id().unwrap()).await.expect("kept");
        assert_eq!(fresh.data.keys().collect::<Vec<_>>(), ["cart"]);
    }

    async fn log_out_while_a_new_record_is_being_made_leaves_none(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let cycling = world.request(id).await;
        cycling.cycle_id().await.unwrap();
        let (made, save) = saved_up_to(&world, &cycling).await;

        world.log_out(&leaving, EndSession).await.unwrap().unwrap();
        made.open();
        save.await.unwrap().unwrap();

        assert!(world.stored(cycling.id().unwrap()).await.is_none());
        assert_eq!(world.held_by("alice").await, []);
        world.assert_dead_at_the_provider();
    }

    async fn a_session_id_that_is_made_while_log_out_looks_at_the_old_one_ends_too(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let cycling = world.request(id).await;
        cycling.cycle_id().await.unwrap();
        let (made, save) = saved_up_to(&world, &cycling).await;
        let looking = world.sessions.gate_before(Op::Load);
        let done = world.log_out(&leaving, EndSession);
        looking.reached().await;
        made.open();
        settle().await;
        looking.open();

        done.await.unwrap().unwrap();
        save.await.unwrap().unwrap();

        assert!(world.stored(cycling.id().unwrap()).await.is_none());
        world.assert_dead_at_the_provider();
    }

    async fn log_out_reaches_a_session_that_another_request_has_moved(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let cycling = world.request(id).await;
        cycling.cycle_id().await.unwrap();
        cycling.save().await.unwrap();
        world.refresh(cycling.id().unwrap()).await;

        world.log_out(&leaving, EndSession).await.unwrap().unwrap();

        assert_eq!(world.stored_tokens(cycling.id().unwrap()).await, StoredTokens::NoRecord);
        world.assert_dead_at_the_provider();
    }

    async fn log_out_that_keeps_the_session_reaches_a_moved_one(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let cycling = world.request(id).await;
        cycling.cycle_id().await.unwrap();
        cycling.save().await.unwrap();

        world.log_out(&leaving, KeepSession).await.unwrap().unwrap();

        assert_eq!(world.held_by("alice").await, []);
        assert!(matches!(world.stored_tokens(cycling.id().unwrap()).await, StoredTokens::Tombstone { .. }));
        world.assert_dead_at_the_provider();
    }
}
