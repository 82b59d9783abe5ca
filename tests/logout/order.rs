//! A logout ends the login in this process, in the token store, in the session and at the
//! provider, in this order (RACES row 11), and revokes the newest tokens there are (row 9).

use support::{
    Op, StoredTokens, TokenOp, World, on_every_store,
    races::{
        ELSEWHERE,
        Station::{AfterPost, BeforePut},
    },
    tokens::key_of,
    variants::session_at,
};
use tower_token_refresh::{
    Logout::{EndSession, KeepSession},
    RefreshErrorKind, Revocation,
    testing::Endpoint,
    token_store::Put,
};

on_every_store! {
    async fn first_this_process_then_the_token_store_the_session_the_provider(world: World) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        let slow = world.request(id).await;
        let ending = world.tokens.gate_before(TokenOp::End);
        let deleting = world.sessions.gate_before(Op::Delete);
        let revoking = world.issuer.gate_before(Endpoint::Revocation);
        let leaving = world.log_out(&world.session(id), KeepSession);

        ending.reached().await;
        let error = world.refresher.valid_token(&slow).await.expect_err("ended in this process");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert!(world.tokens_of(&grant).await.is_live(), "the token store comes next");
        ending.open();

        deleting.reached().await;
        assert!(world.tokens_of(&grant).await.is_ended());
        assert!(world.stored(id).await.is_some(), "the session comes next");
        assert_eq!(world.issuer.requests(Endpoint::Revocation), 0);
        // A crash here: what is left leads another process to a login that has ended.
        let started_later = world.restarted();
        let session = session_at(&started_later, id);
        let error = started_later.valid_token(&session).await.expect_err("ended in the store");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        deleting.open();

        revoking.reached().await;
        assert_eq!(world.stored(id).await, None, "the provider comes last");
        revoking.open();
        leaving.await.unwrap().expect("logged out");
        world.assert_dead_at_the_provider();
    }

    async fn the_tokens_in_the_store_are_revoked_and_not_older_ones_known_here(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let elsewhere = world.restarted();
        world.expire();
        elsewhere.valid_token(&session_at(&elsewhere, id)).await.expect("refreshed there");
        let newest = world.stored_refresh_token(id).await.unwrap();
        assert!(world.issuer.is_refresh_token_live(&newest));

        world.refresher.log_out(&leaving, EndSession).await.expect("logged out");

        assert!(!world.issuer.is_refresh_token_live(&newest));
        assert_eq!(world.issuer.revocations(), 1);
    }

    // The provider has answered, and the store has not been asked yet.
    async fn the_tokens_that_a_flight_is_about_to_store_are_revoked_at_once(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let mut flight = world.flight_at(BeforePut, id).await;

        world.refresher.log_out(&leaving, EndSession).await.expect("logged out");

        world.assert_dead_at_the_provider();
        flight.answer_meanwhile().await.expect_err("logged out");
        flight.land_alone().await;
        assert!(world.tokens.records().await.iter().all(StoredTokens::is_ended));
        assert_eq!(world.refresher.usage().unsaved, 0);
    }

    // The set is in memory only.
    async fn the_tokens_that_the_store_has_refused_are_revoked(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.tokens.refuse(TokenOp::Put);
        let unsaved = world.refresh(id).await;
        assert_eq!(world.refresher.usage().unsaved, 1);

        world.refresher.log_out(&world.session(id), EndSession).await.expect("logged out");

        assert!(!world.issuer.is_access_token_live(unsaved.secret()));
        world.assert_dead_at_the_provider();
        world.tokens.accept(TokenOp::Put);
        let error = world.refresher.valid_token(&slow).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert!(world.tokens.records().await.iter().all(StoredTokens::is_ended));
    }

    // The token store cannot say what it holds, so what is in the cache is all that is known.
    async fn the_token_in_the_cache_is_revoked_where_no_other_is_known(world: World) {
        let id = world.log_in("alice").await;
        let world = World { refresher: world.restarted(), ..world };
        let token = world.refresher.valid_token(&world.session(id)).await.expect("logged in");
        world.tokens.refuse_everything(true);

        let leaving = world.log_out(&world.session(id), EndSession).await.unwrap();

        assert_eq!(leaving.unwrap_err().kind(), RefreshErrorKind::Unavailable);
        assert!(!world.issuer.is_access_token_live(token.secret()));
    }

    // Somebody has deleted it, or it was lost.
    async fn the_token_in_the_cache_is_revoked_where_the_record_is_gone(world: World) {
        let id = world.log_in("alice").await;
        // It has written nothing lately.
        let world = World { refresher: world.restarted(), ..world };
        let token = world.refresher.valid_token(&world.session(id)).await.expect("logged in");
        world.put_back(world.record_key(id).await, None).await;

        let leaving = world.session(id);
        let done = world.refresher.log_out(&leaving, EndSession).await.expect("logged out");

        assert!(matches!(done.revocation, Revocation::Revoked), "{done:?}");
        assert!(!world.issuer.is_access_token_live(token.secret()));
    }

    // The provider sees one revocation of the newest tokens, and those of before say nothing.
    async fn old_tokens_are_not_revoked_beside_the_newest(world: World) {
        let id = world.log_in("alice").await;
        world.refresh(id).await;
        world.refresh(id).await;
        world.refresher.log_out(&world.session(id), KeepSession).await.expect("logged out");
        assert_eq!(world.issuer.revocations(), 1);
        world.assert_dead_at_the_provider();
    }
}

// The newest tokens are the other process's, and this one's flight brings older ones.
#[tokio::test]
async fn what_a_flight_brings_late_is_older_than_what_the_store_held() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let key = key_of(&world.pointer(id).await.unwrap());
    let leaving = world.request(id).await;
    let mut flight = world.flight_at(AfterPost, id).await;
    assert_eq!(world.store_elsewhere(id, 3).await, Put::Stored);

    world.refresher.log_out(&leaving, EndSession).await.expect("logged out");
    flight.answer_meanwhile().await.expect_err("logged out");
    flight.land_alone().await;

    let record = world.tokens.peek(key).await.unwrap();
    assert_eq!((record.generation(), record.ending().is_some()), (3, true));
    assert_eq!(world.issuer.revocations(), 2, "each is revoked: {ELSEWHERE} and the flight's");
}
