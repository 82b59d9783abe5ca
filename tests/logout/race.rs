//! Log out ends a login for good, whatever is under way at that moment.


use support::{
    KEY, StoredTokens, on_every_store,
    races::{
        Station::{AfterPost, BeforePost},
        at_every_gate,
    },
    settle,
    Op,
};
use tower_token_refresh::{
    Logout::{EndSession, KeepSession},
    RefreshErrorKind,
    testing::Endpoint,
};

at_every_gate! {
    async fn log_out_during_a_flight_answers_its_waiters_at_once_and_leaves_nothing(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let slow = world.request(id).await;
        let mut flight = world.flight_at(at, id).await;

        let log_out = world.log_out(&leaving, EndSession);
        let error = flight.answer_meanwhile().await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        flight.land_alone().await;
        log_out.await.unwrap().expect("logged out");

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.held_by("alice").await, []);
        world.assert_dead_at_the_provider();
        let error = world.refresher.valid_token(&slow).await.expect_err("no token for a slow request");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }

    async fn log_out_that_keeps_the_session_leaves_no_tokens_in_it(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        leaving.insert("cart", 3).await.unwrap();
        let slow = world.request(id).await;
        let mut flight = world.flight_at(at, id).await;

        let log_out = world.log_out(&leaving, KeepSession);
        let error = flight.answer_meanwhile().await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        flight.land_alone().await;
        log_out.await.unwrap().expect("logged out");
        slow.insert("language", "sv").await.unwrap();
        slow.save().await.unwrap();

        let kept = leaving.id().expect("the session goes on");
        assert_ne!(kept, id, "under a new id");
        assert_eq!(world.stored_tokens(kept).await, StoredTokens::NoEntry);
        assert_eq!(world.stored(kept).await.unwrap().data["cart"], 3);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.held_by("alice").await, []);
        world.assert_dead_at_the_provider();
    }

    // Flush ends the session that its request saw. It is no log out: nothing is revoked.
    async fn a_session_flushed_during_a_flight_stays_deleted(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let slow = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        let flush = tokio::spawn(async move { leaving.flush().await });
        settle().await;
        let _ = flight.land().await;
        flush.await.unwrap().unwrap();
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.held_by("alice").await, []);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.issuer.revocations(), 0);
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("no session");
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    }

    async fn a_session_deleted_during_a_flight_stays_deleted(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let slow = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        let delete = tokio::spawn(async move { leaving.delete().await });
        settle().await;
        let _ = flight.land().await;
        delete.await.unwrap().unwrap();
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.held_by("alice").await, []);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    }

    async fn a_session_cleared_during_a_flight_holds_no_tokens_afterwards(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let slow = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        leaving.clear().await;
        let save = tokio::spawn(async move { leaving.save().await });
        settle().await;
        let _ = flight.land().await;
        save.await.unwrap().unwrap();
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.held_by("alice").await, []);
        assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
        let error = world.refresher.valid_token(&slow).await.expect_err("no token for a slow request");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }
}

on_every_store! {
    async fn a_save_that_comes_after_log_out_brings_nothing_back(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;

        world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        world.assert_dead_at_the_provider();
    }

    async fn a_save_under_way_when_the_user_logs_out_brings_nothing_back(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        slow.insert("cart", 3).await.unwrap();
        let under_way = world.sessions.gate_before(Op::Save);
        let save = tokio::spawn(async move { slow.save().await });
        under_way.reached().await;

        let log_out = world.log_out(&world.request(id).await, EndSession);
        settle().await;
        assert!(!log_out.is_finished(), "it waits for the save");
        under_way.open();
        save.await.unwrap().unwrap();
        log_out.await.unwrap().unwrap();

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        world.assert_dead_at_the_provider();
    }

    // A request with the old snapshot asks for something newer, and a flight has just brought it.
    async fn a_slow_request_gets_no_token_of_a_flight_that_landed_before_log_out(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;

        world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

        let error = world.refresher.valid_token(&slow).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(world.issuer.refresh_requests(), 1, "and nothing was presented for it");
    }

    async fn a_slow_request_gets_no_token_after_log_out_even_if_its_own_is_fresh(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;

        world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

        let error = world.refresher.valid_token(&slow).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }

    async fn what_a_flight_brings_after_log_out_is_revoked(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let mut flight = world.flight_at(AfterPost, id).await;

        world.log_out(&leaving, EndSession).await.unwrap().unwrap();
        assert_eq!(world.issuer.revocations(), 1);
        flight.answer_meanwhile().await.expect_err("logged out");
        flight.land_alone().await;

        assert_eq!(world.issuer.revocations(), 2);
    }

    // The provider ends the login. Requests see a session without tokens and save it so; then comes one from before.
    async fn a_login_that_the_provider_ended_stays_ended_whoever_saves(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.issuer.end_session("alice");
        world.expire();
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("invalid_grant");
        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);

        let ordinary = world.request(id).await;
        assert_eq!(ordinary.get_value(KEY).await.unwrap(), None, "a request sees no tombstone");
        ordinary.insert("cart", 3).await.unwrap();
        ordinary.save().await.unwrap();
        assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
        slow.insert("cart", 4).await.unwrap();
        slow.save().await.unwrap();

        assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
        assert_eq!(world.stored(id).await.unwrap().data["cart"], 4);
    }

    // As above, where this process knows nothing of the grant.
    async fn a_tombstone_in_the_store_outlives_the_process_that_wrote_it(world: World) {
        let id = world.log_in("alice").await;
        let old = world.request(id).await.get_value(KEY).await.unwrap().unwrap();
        world.issuer.end_session("alice");
        world.expire();
        world.refresher.valid_token(&world.session(id)).await.expect_err("invalid_grant");
        let mut world = world;
        world.refresher = world.restarted();

        let slow = world.session(id);
        slow.insert_value(KEY, old).await.unwrap();
        slow.save().await.unwrap();

        assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("nobody is logged in");
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    }

    // The tab is closed while the session is being deleted.
    async fn log_out_goes_on_when_its_caller_goes_away(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let deleting = world.sessions.gate_before(Op::Delete);
        let revoked = world.issuer.gate_after(Endpoint::Revocation);
        let log_out = world.log_out(&leaving, EndSession);
        deleting.reached().await;

        log_out.abort();
        assert!(log_out.await.unwrap_err().is_cancelled());
        deleting.open();
        revoked.reached().await;

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        world.assert_dead_at_the_provider();
    }

    async fn two_log_outs_at_once_both_succeed(world: World) {
        let id = world.log_in("alice").await;
        let (one, two) = (world.request(id).await, world.request(id).await);
        let mut flight = world.flight_at(BeforePost, id).await;

        let (one, two) = (world.log_out(&one, EndSession), world.log_out(&two, EndSession));
        one.await.unwrap().unwrap();
        two.await.unwrap().unwrap();
        flight.answer_meanwhile().await.expect_err("logged out");
        flight.land_alone().await;

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        world.assert_dead_at_the_provider();
    }
}
