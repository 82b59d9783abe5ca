//! A login that has ended stays ended in every session that points to it, in every process (promise
//! 5): at once in the process that ended it, elsewhere within `confirm_after`.

use std::time::Duration;

use support::{
    TokenOp, World, at_every_gate, on_every_store, settle, shown_pointer, value,
    variants::session_at,
};
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{
    Logout::{self, EndSession, KeepSession},
    RefreshError, RefreshErrorKind, RefreshPolicy, TokenRefresher, tower_sessions,
};

const CONFIRM_AFTER: Duration = Duration::from_secs(10);

/// Another process, which reads a token record again after ten seconds.
fn another_process(world: &World) -> TokenRefresher {
    let policy = RefreshPolicy::default().confirm_after(CONFIRM_AFTER);
    world.restarted_with(|builder| match &world.keys {
        Some(keys) => builder.policy(policy).seal_with(keys.clone()),
        None => builder.policy(policy),
    })
}

async fn refused(refresher: &TokenRefresher, session: &Session) -> RefreshErrorKind {
    let answer: Result<_, RefreshError> = refresher.valid_token(session).await;
    answer.expect_err("the login has ended").kind()
}

/// Sessions that point to one login: under the id it was made with, two that others have moved or
/// copied it to, and one that somebody has brought back. Each also says who its user is.
async fn scattered(world: &World, user: &str) -> Vec<Id> {
    let session = world.session_with(None, None);
    session.insert("user", user).await.unwrap();
    world.log_in_on(&session, user).await;
    let id = session.id().unwrap();
    let record = world.stored(id).await.unwrap();
    let (one, two) = (world.request(id).await, world.request(id).await);
    for moving in [&one, &two] {
        moving.cycle_id().await.unwrap();
        moving.save().await.unwrap();
    }
    assert_eq!(world.stored(id).await, None);
    world.sessions.overwrite(&record).await;
    vec![id, one.id().unwrap(), two.id().unwrap()]
}

async fn log_out(world: &World, id: Id, how: Logout) {
    world.refresher.log_out(&world.session(id), how).await.expect("logged out");
}

at_every_gate! {
    async fn an_ending_during_a_flight_reaches_every_session(world: World, at: Station) {
        let ids = scattered(&world, "alice").await;
        let grant = world.pointer(ids[0]).await.unwrap();
        let slow = world.request(ids[2]).await;
        let mut flight = world.flight_at(at, ids[1]).await;

        log_out(&world, ids[0], KeepSession).await;
        let error = flight.answer_meanwhile().await.expect_err("logged out");
        flight.land_alone().await;

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert!(world.tokens_of(&grant).await.is_ended());
        for id in &ids[1..] {
            let session = world.session(*id);
            assert_eq!(refused(&world.refresher, &session).await, RefreshErrorKind::LoggedOut);
        }
        assert_eq!(refused(&world.refresher, &slow).await, RefreshErrorKind::LoggedOut);
        assert_eq!(world.held_by("alice").await, []);
        world.assert_dead_at_the_provider();
    }
}

on_every_store! {
    async fn it_has_ended_at_once_in_every_session_of_this_process(world: World) {
        let ids = scattered(&world, "alice").await;
        let mut open = Vec::new();
        for id in &ids {
            world.refresher.valid_token(&world.session(*id)).await.expect("logged in");
            open.push(world.request(*id).await);
        }

        log_out(&world, ids[0], EndSession).await;

        for session in &open {
            assert_eq!(refused(&world.refresher, session).await, RefreshErrorKind::LoggedOut);
        }
        assert_eq!(world.held_by("alice").await, []);
    }

    async fn another_process_serves_it_until_it_reads_the_record_again(world: World) {
        let ids = scattered(&world, "alice").await;
        let elsewhere = another_process(&world);
        let session = session_at(&elsewhere, ids[1]);
        elsewhere.valid_token(&session).await.expect("logged in");

        log_out(&world, ids[0], KeepSession).await;
        world.clock.advance(CONFIRM_AFTER / 2);
        elsewhere.valid_token(&session).await.expect("it does not know yet");
        world.clock.advance(CONFIRM_AFTER / 2 + Duration::from_millis(1));

        assert_eq!(refused(&elsewhere, &session).await, RefreshErrorKind::LoggedOut);
        let again = session_at(&elsewhere, ids[2]);
        assert_eq!(refused(&elsewhere, &again).await, RefreshErrorKind::LoggedOut);
        assert_eq!(world.issuer.token_requests(), 0, "nothing was presented for it");
    }

    // From half of `confirm_after` on the record is read again beside the request.
    async fn another_process_that_is_busy_learns_of_it_earlier(world: World) {
        let id = world.log_in("alice").await;
        let elsewhere = another_process(&world);
        let session = session_at(&elsewhere, id);
        elsewhere.valid_token(&session).await.expect("logged in");

        log_out(&world, id, KeepSession).await;
        world.clock.advance(CONFIRM_AFTER / 2 + Duration::from_millis(1));
        elsewhere.valid_token(&session).await.expect("served while the record is read");
        settle().await;

        assert_eq!(refused(&elsewhere, &session).await, RefreshErrorKind::LoggedOut);
    }

    async fn a_process_that_knows_nothing_reads_it_before_it_serves(world: World) {
        for how in [EndSession, KeepSession] {
            let ids = scattered(&world, "alice").await;
            log_out(&world, ids[0], how).await;
            for id in &ids[1..] {
                let started_later = world.restarted();
                let session = session_at(&started_later, *id);
                let kind = refused(&started_later, &session).await;
                assert_eq!(kind, RefreshErrorKind::LoggedOut, "{how:?}");
            }
        }
    }

    // A request asks while its token record is being read. RACES row 12.
    async fn a_request_that_has_read_the_tokens_is_not_served_after_a_log_out(world: World) {
        let id = world.log_in("alice").await;
        let elsewhere = World { refresher: world.restarted(), ..world };
        let (asking, leaving) = (elsewhere.request(id).await, elsewhere.request(id).await);
        let read = elsewhere.tokens.gate_after(TokenOp::Load);
        let waiting = elsewhere.ask(&asking);
        read.reached().await;

        elsewhere.refresher.log_out(&leaving, KeepSession).await.expect("logged out");
        read.open();

        let error = waiting.await.unwrap().expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(elsewhere.refresher.usage().cached_tokens, 0, "nor is it cached");
    }

    // As above, where the token has expired: the waiter of a flight that has landed just now.
    async fn a_request_that_a_flight_has_just_answered_is_not_served_after_a_log_out(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let flight = world.flight_at(support::races::Station::AfterPut, id).await;
        flight.open();
        world.refresher.log_out(&leaving, KeepSession).await.expect("logged out");

        let answer = flight.waiter.await.unwrap();

        assert_eq!(answer.expect_err("logged out").kind(), RefreshErrorKind::LoggedOut);
        world.assert_dead_at_the_provider();
    }

    // Whatever else it holds. By the guard in the process that knows, by `valid_token` elsewhere.
    async fn a_session_whose_login_ended_with_it_is_emptied_wherever_it_is_met(world: World) {
        let ids = scattered(&world, "alice").await;
        log_out(&world, ids[0], EndSession).await;

        assert_eq!(world.session(ids[1]).get_value("user").await.unwrap(), None, "at load");

        let started_later = world.restarted();
        let session = session_at(&started_later, ids[2]);
        assert_eq!(refused(&started_later, &session).await, RefreshErrorKind::LoggedOut);
        assert_eq!(session.get_value("user").await.unwrap(), None, "where a token is asked for");
        assert_eq!(world.stored(ids[2]).await, None);
        let next = session_at(&started_later, ids[1]);
        assert_eq!(next.get_value("user").await.unwrap(), None, "and by its guard from then on");
    }

    async fn a_session_whose_login_ended_alone_keeps_what_else_it_holds(world: World) {
        let ids = scattered(&world, "alice").await;
        log_out(&world, ids[0], KeepSession).await;

        for refresher in [world.refresher.clone(), world.restarted()] {
            for id in &ids[1..] {
                let session = session_at(&refresher, *id);
                assert_eq!(refused(&refresher, &session).await, RefreshErrorKind::LoggedOut);
                assert_eq!(session.get_value("user").await.unwrap(), Some(value("alice")));
            }
        }
    }

    // The provider no longer takes the refresh token.
    async fn a_login_that_has_expired_stays_expired_whoever_saves(world: World) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        let slow = world.request(id).await;
        world.issuer.end_session("alice");
        world.expire();
        let session = world.session(id);
        assert_eq!(refused(&world.refresher, &session).await, RefreshErrorKind::SessionExpired);

        slow.insert("cart", 4).await.unwrap();
        slow.save().await.unwrap();

        assert!(world.tokens_of(&grant).await.is_ended());
        assert_eq!(world.stored(id).await.unwrap().data["cart"], 4, "the session goes on");
        for refresher in [world.refresher.clone(), world.restarted()] {
            let session = session_at(&refresher, id);
            assert_eq!(refused(&refresher, &session).await, RefreshErrorKind::SessionExpired);
        }
        assert_eq!(world.issuer.refresh_requests(), 1, "nothing is presented again");
    }

    // Somebody writes the old pointer into a session of another process.
    async fn a_session_that_is_brought_back_points_to_a_login_that_has_ended(world: World) {
        let id = world.log_in("alice").await;
        let record = world.stored(id).await.unwrap();
        log_out(&world, id, EndSession).await;
        world.sessions.overwrite(&record).await;

        assert_eq!(shown_pointer(&world.session(id)).await, None);
        let started_later = world.restarted();
        let session = session_at(&started_later, id);
        assert_eq!(refused(&started_later, &session).await, RefreshErrorKind::LoggedOut);
        assert_eq!(world.stored(id).await, None);
    }
}

// RACES row 17.
#[tokio::test]
async fn an_idle_process_reads_the_record_before_it_serves_a_token_of_hours() {
    let hours = Duration::from_secs(8 * 60 * 60);
    let world = World::configured(|issuer| issuer.access_token_lifetime(hours), |builder| builder);
    let ids = scattered(&world, "alice").await;
    let elsewhere = world.restarted();
    let session = session_at(&elsewhere, ids[1]);
    elsewhere.valid_token(&session).await.expect("logged in");

    log_out(&world, ids[0], KeepSession).await;
    world.clock.advance(hours / 4);

    assert_eq!(refused(&elsewhere, &session).await, RefreshErrorKind::LoggedOut);
}
