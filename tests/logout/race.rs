//! Log out ends a login for good, whatever refresh is under way at that moment.

use support::{
    Gate, Op, StoredTokens, TokenOp, World, at_every_gate, on_every_store,
    races::{
        ELSEWHERE,
        Station::{AfterPost, BeforePost},
    },
    settle,
    variants::session_at,
};
use tower_token_refresh::{
    Logout::{EndSession, KeepSession},
    RefreshErrorKind, Revocation,
    testing::{self, Endpoint},
    token_store::Put,
};

at_every_gate! {
    async fn log_out_answers_waiters_at_once_and_leaves_nothing(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        let (leaving, slow) = (world.request(id).await, world.request(id).await);
        let mut flight = world.flight_at(at, id).await;

        world.refresher.log_out(&leaving, EndSession).await.expect("it waits for no flight");
        let error = flight.answer_meanwhile().await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        flight.land_alone().await;

        assert_eq!(world.stored(id).await, None);
        assert_eq!(world.tokens_of(&grant).await, StoredTokens::Ended {
            why: "logout".into(), revoke: true, with_session: true,
        });
        world.assert_dead_at_the_provider();
        let error = world.refresher.valid_token(&slow).await.expect_err("no token for it");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }

    async fn log_out_that_keeps_the_session_leaves_no_login_in_it(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        let (leaving, slow) = (world.request(id).await, world.request(id).await);
        leaving.insert("cart", 3).await.unwrap();
        let mut flight = world.flight_at(at, id).await;

        world.refresher.log_out(&leaving, KeepSession).await.expect("logged out");
        let error = flight.answer_meanwhile().await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        flight.land_alone().await;
        slow.insert("language", "sv").await.unwrap();
        slow.save().await.unwrap();

        let kept = leaving.id().expect("the session goes on");
        assert_ne!(kept, id, "under a new id");
        assert_eq!(world.stored(kept).await.unwrap().data["cart"], 3);
        assert_eq!(world.pointer(kept).await, None);
        assert_eq!(world.stored(id).await, None);
        assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("logout"));
        world.assert_dead_at_the_provider();
    }
}

on_every_store! {
    // RACES row 8: what came over `ended(revoke)` is revoked.
    async fn what_a_flight_brings_after_log_out_is_revoked(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let mut flight = world.flight_at(AfterPost, id).await;

        world.refresher.log_out(&leaving, EndSession).await.expect("logged out");
        assert_eq!(world.issuer.revocations(), 1);
        flight.answer_meanwhile().await.expect_err("logged out");
        flight.land_alone().await;

        assert_eq!(world.issuer.revocations(), 2);
    }

    // The store says only once what an ending has replaced: here to the log in.
    async fn a_log_in_that_ends_the_login_first_revokes_for_the_log_out(world: World) {
        let id = world.log_in("alice").await;
        let (leaving, staying) = (world.request(id).await, world.request(id).await);
        let ending = world.tokens.gate_before(TokenOp::End);
        let log_out = world.log_out(&leaving, KeepSession);
        ending.reached().await;

        world.log_in_on(&staying, "bob").await;
        ending.open();
        log_out.await.unwrap().expect("logged out");
        settle().await;

        assert_eq!(world.issuer.revocations(), 1, "alice's");
        world.assert_logged_in(staying.id().unwrap()).await;
    }

    // RACES row 13: else the set would be lost, and a crash before the end is stored would leave
    // its predecessor to be presented again.
    async fn between_the_post_and_the_write_the_store_decides_and_not_this_process(world: World) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        let leaving = world.request(id).await;
        let mut flight = world.flight_at(AfterPost, id).await;
        let ending = world.tokens.gate_before(TokenOp::End);
        let log_out = world.log_out(&leaving, KeepSession);
        ending.reached().await;
        flight.answer_meanwhile().await.expect_err("ended in this process");

        flight.land_alone().await;

        assert_eq!(world.tokens_of(&grant).await.generation(), Some(2), "stored all the same");
        let newest = world.stored_refresh_token(id).await.unwrap();
        assert!(world.issuer.is_refresh_token_live(&newest));
        let slow = world.request(id).await;
        world.refresher.valid_token(&slow).await.expect_err("and not served");
        ending.open();
        log_out.await.unwrap().expect("logged out");
        assert!(world.tokens_of(&grant).await.is_ended());
        world.assert_dead_at_the_provider();
    }

    // RACES row 10. A logout that comes with the pointer of a login that another one has replaced.
    async fn the_first_ending_stays_and_says_what_becomes_of_the_tokens(world: World) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        let (session, slow) = (world.request(id).await, world.request(id).await);
        let mut flight = world.flight_at(AfterPost, id).await;
        world.log_in_on(&session, "bob").await;

        let done = world.refresher.log_out(&slow, EndSession).await.expect("logged out");
        flight.answer_meanwhile().await.expect_err("replaced");
        flight.land_alone().await;

        assert!(matches!(done.revocation, Revocation::NothingToRevoke), "{done:?}");
        assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("replaced"));
        assert_eq!(world.issuer.revocations(), 0, "neither by logout nor by the flight");
        world.assert_logged_in(session.id().unwrap()).await;
    }

    // The same where another process has replaced it: a provider with one session per browser would
    // end the new login with the old tokens.
    async fn a_log_out_of_a_login_that_was_replaced_elsewhere_revokes_nothing(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let elsewhere = world.restarted();
        let session = session_at(&elsewhere, id);
        elsewhere.log_in(&session, world.token_set("alice")).await.expect("logged in");

        let done = world.refresher.log_out(&slow, KeepSession).await.expect("logged out");

        assert!(matches!(done.revocation, Revocation::NothingToRevoke), "{done:?}");
        assert_eq!(world.issuer.revocations(), 0);
        assert!(elsewhere.valid_token(&session).await.is_ok(), "the new login stands");
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

        assert_eq!(world.stored(id).await, None);
        world.assert_dead_at_the_provider();
    }

    // RACES row 21. The tab is closed at any step.
    async fn log_out_goes_on_when_its_caller_goes_away(world: World) {
        let gates: [&dyn Fn() -> AnyGate; 5] = [
            &|| AnyGate::Store(world.tokens.gate_before(TokenOp::End)),
            &|| AnyGate::Store(world.tokens.gate_after(TokenOp::End)),
            &|| AnyGate::Store(world.sessions.gate_before(Op::Delete)),
            &|| AnyGate::Store(world.sessions.gate_after(Op::Delete)),
            &|| AnyGate::Issuer(world.issuer.gate_before(Endpoint::Revocation)),
        ];
        for (step, gate) in gates.into_iter().enumerate() {
            let id = world.log_in("alice").await;
            let grant = world.pointer(id).await.unwrap();
            let revoked = world.issuer.gate_after(Endpoint::Revocation);
            let gate = gate();
            let log_out = world.log_out(&world.session(id), EndSession);
            gate.reached().await;
            log_out.abort();
            assert!(log_out.await.unwrap_err().is_cancelled());
            gate.open();
            revoked.reached().await;

            assert_eq!(world.stored(id).await, None, "step {step}");
            assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("logout"), "step {step}");
            world.assert_dead_at_the_provider();
        }
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

        assert_eq!(world.stored(id).await, None);
        world.assert_dead_at_the_provider();
    }
}

/// A gate of a store, or of the provider.
enum AnyGate {
    Store(Gate),
    Issuer(testing::Gate),
}

impl AnyGate {
    async fn reached(&self) {
        match self {
            Self::Store(gate) => gate.reached().await,
            Self::Issuer(gate) => gate.reached().await,
        }
    }

    fn open(&self) {
        match self {
            Self::Store(gate) => gate.open(),
            Self::Issuer(gate) => gate.open(),
        }
    }
}

// RACES row 14. The refusal is for generation 1; another process's set is on its way to the store,
// and comes after this one has looked for it for the last time.
#[tokio::test(start_paused = true)]
async fn a_refused_refresh_token_ends_no_newer_tokens() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        world.issuer.fail_next_oauth(400, "invalid_grant");
        let flight = world.flight_at(AfterPost, id).await;
        let ending = world.tokens.gate_before(TokenOp::End);
        flight.open();
        ending.reached().await;
        assert_eq!(world.store_elsewhere(id, 2).await, Put::Stored);
        ending.open();

        let token = flight.waiter.await.unwrap().expect("the newer token");

        assert_eq!(token.secret(), ELSEWHERE);
        assert_eq!(world.held_by("alice").await, [(id, 2)]);
    }
}

// As above, seen by the first look.
#[tokio::test(start_paused = true)]
async fn who_lost_a_race_to_another_process_gets_its_tokens() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        world.issuer.fail_next_oauth(400, "invalid_grant");
        let flight = world.flight_at(AfterPost, id).await;
        assert_eq!(world.store_elsewhere(id, 2).await, Put::Stored);

        let token = flight.land().await.expect("the newer token");

        assert_eq!(token.secret(), ELSEWHERE);
        assert_eq!(world.tokens.calls(TokenOp::End), 0);
    }
}
