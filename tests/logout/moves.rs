//! Log out beside a session that changes its id: the login ends wherever its pointer goes, and with
//! `EndSession` all that was in the session (RACES row 25).

use support::{Gate, Op, World, on_every_store, settle};
use tokio::task::JoinHandle;
use tower_sessions::{Session, session, session::Id};
use tower_token_refresh::{
    Logout::{EndSession, KeepSession},
    RefreshErrorKind, tower_sessions,
};

/// A session that alice is logged in to, and which says so beside the pointer.
async fn alices(world: &World) -> Id {
    let session = world.session_with(None, None);
    session.insert("user", "alice").await.unwrap();
    world.log_in_on(&session, "alice").await;
    session.id().unwrap()
}

/// A response saves its session, which has got a new id; the record has been made, and the store
/// has not answered yet.
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

async fn assert_nobody(world: &World, id: Id) {
    let session = world.session(id);
    assert_eq!(session.get_value("user").await.unwrap(), None, "nothing of it is shown");
    let error = world.refresher.valid_token(&session).await.expect_err("logged out");
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
}

on_every_store! {
    // Nor anything else of the session that was deleted: it may say who is logged in, too.
    async fn cycling_the_id_after_log_out_carries_nothing_into_the_new_session(world: World) {
        let id = alices(&world).await;
        let slow = world.request(id).await;

        world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
        slow.cycle_id().await.unwrap();
        slow.save().await.unwrap();

        let fresh = world.stored(slow.id().unwrap()).await.expect("a session like any new one");
        assert!(fresh.data.is_empty());
    }

    async fn a_request_that_comes_while_the_session_is_deleted_sees_nothing_of_it(world: World) {
        let id = alices(&world).await;
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

    async fn cycling_the_id_of_a_session_that_is_kept_keeps_everything_but_the_login(world: World) {
        let id = alices(&world).await;
        let slow = world.request(id).await;
        slow.insert("cart", 3).await.unwrap();

        world.log_out(&world.session(id), KeepSession).await.unwrap().unwrap();
        slow.cycle_id().await.unwrap();
        slow.save().await.unwrap();

        let moved = world.session(slow.id().unwrap());
        assert_eq!(moved.get::<u32>("cart").await.unwrap(), Some(3));
        let error = world.refresher.valid_token(&moved).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }

    async fn log_out_while_a_new_record_is_being_made_leaves_nobody_in_it(world: World) {
        let id = alices(&world).await;
        let (leaving, cycling) = (world.request(id).await, world.request(id).await);
        cycling.cycle_id().await.unwrap();
        let (made, save) = saved_up_to(&world, &cycling).await;

        world.log_out(&leaving, EndSession).await.unwrap().unwrap();
        made.open();
        save.await.unwrap().unwrap();

        assert_nobody(&world, cycling.id().unwrap()).await;
        world.assert_dead_at_the_provider();
    }

    async fn a_session_id_that_is_made_while_log_out_ends_the_login_shows_nobody(world: World) {
        let id = alices(&world).await;
        let (leaving, cycling) = (world.request(id).await, world.request(id).await);
        cycling.cycle_id().await.unwrap();
        let (made, save) = saved_up_to(&world, &cycling).await;
        let deleting = world.sessions.gate_before(Op::Delete);
        let done = world.log_out(&leaving, EndSession);
        deleting.reached().await;
        made.open();
        settle().await;
        deleting.open();

        done.await.unwrap().unwrap();
        save.await.unwrap().unwrap();

        assert_nobody(&world, cycling.id().unwrap()).await;
        world.assert_dead_at_the_provider();
    }

    async fn log_out_reaches_a_session_that_another_request_has_moved(world: World) {
        for how in [EndSession, KeepSession] {
            let id = alices(&world).await;
            let (leaving, cycling) = (world.request(id).await, world.request(id).await);
            cycling.cycle_id().await.unwrap();
            cycling.save().await.unwrap();
            let moved = cycling.id().unwrap();
            world.refresh(moved).await;

            let done = world.log_out(&leaving, how).await.unwrap().unwrap();

            assert!(matches!(done.revocation, tower_token_refresh::Revocation::Revoked), "{how:?}");
            assert_eq!(world.held_by("alice").await, [], "{how:?}");
            world.assert_dead_at_the_provider();
        }
    }

    // The answer that tells the browser of the new id is still on its way. A session that is gone
    // points to no login: as with any log out over tower-sessions, the browser has to ask again.
    async fn log_out_with_the_cookie_of_before_finds_no_login_to_end(world: World) {
        let id = alices(&world).await;
        let cycling = world.request(id).await;
        cycling.cycle_id().await.unwrap();
        cycling.save().await.unwrap();

        let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

        let nothing = tower_token_refresh::Revocation::NothingToRevoke;
        assert_eq!(format!("{:?}", done.revocation), format!("{nothing:?}"));
        world.assert_logged_in(cycling.id().unwrap()).await;
    }
}
