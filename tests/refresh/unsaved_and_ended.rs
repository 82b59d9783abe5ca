//! A login ends while the token store lacks its newest tokens: the ending wins, and the tokens are
//! revoked or dropped as it says.

use std::time::Duration;

use support::{
    StoredTokens, TokenOp, World, paused_on_every_store, races::Station::BeforePut, settle,
    variants::session_at,
};
use tokio::time::sleep;
use tower_sessions::session::Id;
use tower_token_refresh::{
    Logout, RefreshErrorKind, Revocation, TokenRefresher, testing::Endpoint, tower_sessions,
};

use super::unsaved::with_unsaved_tokens;

/// Within this time after the store accepts again it has what it lacked.
const WITHIN: Duration = Duration::from_secs(2);

fn logged_out() -> StoredTokens {
    StoredTokens::Ended { why: "logout".into(), revoke: true, with_session: true }
}

/// Another process, whose way to the store is not disturbed.
fn elsewhere(world: &World) -> TokenRefresher {
    world.restarted_with(|builder| {
        let builder = builder.token_store(world.tokens.another_way());
        match &world.keys {
            Some(keys) => builder.seal_with(keys.clone()),
            None => builder,
        }
    })
}

async fn kind_at(world: &World, id: Id, grant: &str) -> RefreshErrorKind {
    // The session has gone with the login; a slow request still holds it.
    let session = world.session(id);
    session.insert(support::KEY, format!("g1.{grant}")).await.expect("inserted");
    world.refresher.valid_token(&session).await.expect_err("over").kind()
}

paused_on_every_store! {
    async fn a_log_out_revokes_them_and_nothing_of_them_is_written(world: World) {
        let id = with_unsaved_tokens(&world).await;
        let grant = world.pointer(id).await.expect("a login");
        let slow = world.request(id).await;

        let out = world.refresher.log_out(&world.session(id), Logout::EndSession).await;

        assert!(matches!(out.expect("logged out").revocation, Revocation::Revoked));
        world.assert_dead_at_the_provider();
        let error = world.refresher.valid_token(&slow).await.expect_err("over");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        world.tokens.accept(TokenOp::Put);
        let puts = world.tokens.calls(TokenOp::Put);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(world.tokens.calls(TokenOp::Put), puts, "nobody tries any more");
        assert_eq!(world.tokens_of(&grant).await, logged_out());
        assert_eq!(world.refresher.usage().unsaved, 0);
    }

    // The store takes neither the tokens nor the ending, and then tokens first.
    async fn an_ending_that_the_store_refuses_is_written_in_their_place(world: World) {
        let id = with_unsaved_tokens(&world).await;
        let grant = world.pointer(id).await.expect("a login");
        world.tokens.refuse(TokenOp::End);
        let slow = world.request(id).await;
        let out = world.refresher.log_out(&world.session(id), Logout::EndSession).await;
        assert_eq!(out.expect_err("the store refuses").kind(), RefreshErrorKind::Unavailable);
        world.assert_dead_at_the_provider();
        world.tokens.accept(TokenOp::Put);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(world.tokens_of(&grant).await.generation(), Some(1), "no tokens over an ending");
        world.tokens.accept(TokenOp::End);

        sleep(WITHIN).await;

        assert_eq!(world.tokens_of(&grant).await, logged_out());
        assert_eq!(world.refresher.usage().unsaved, 0);
        let error = world.refresher.valid_token(&slow).await.expect_err("over");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }

    async fn a_log_out_elsewhere_is_met_when_they_are_written_and_they_are_revoked(world: World) {
        let id = with_unsaved_tokens(&world).await;
        let grant = world.pointer(id).await.expect("a login");
        let elsewhere = elsewhere(&world);
        let out = elsewhere.log_out(&session_at(&elsewhere, id), Logout::EndSession).await;
        out.expect("logged out");
        world.tokens.accept(TokenOp::Put);

        sleep(WITHIN).await;

        assert_eq!(world.tokens_of(&grant).await, logged_out());
        assert_eq!(kind_at(&world, id, &grant).await, RefreshErrorKind::LoggedOut);
        assert_eq!(world.refresher.usage().unsaved, 0);
        // The store's by the logout, and these by whoever met it: some providers end no more than
        // what they are shown.
        assert_eq!(world.issuer.revocations(), 2);
        world.assert_dead_at_the_provider();
    }

    // Some providers would end the login that has taken its place together with them.
    async fn those_of_a_login_that_was_replaced_elsewhere_are_dropped_and_not_revoked(
        world: World
    ) {
        let id = with_unsaved_tokens(&world).await;
        let grant = world.pointer(id).await.expect("a login");
        let elsewhere = elsewhere(&world);
        let session = session_at(&elsewhere, id);
        elsewhere.log_in(&session, world.token_set("bob")).await.expect("logged in");
        world.tokens.accept(TokenOp::Put);

        sleep(WITHIN).await;

        assert!(world.tokens_of(&grant).await.is_ended());
        assert_eq!(kind_at(&world, id, &grant).await, RefreshErrorKind::LoggedOut);
        assert_eq!(world.issuer.requests(Endpoint::Revocation), 0);
        assert_eq!(world.refresher.usage().unsaved, 0);
    }

    // The flight itself meets the ending: its waiters get no token.
    async fn a_waiter_whose_login_ended_elsewhere_is_told_so_and_what_came_is_revoked(
        world: World
    ) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(BeforePut, id).await;
        let elsewhere = elsewhere(&world);
        let out = elsewhere.log_out(&session_at(&elsewhere, id), Logout::EndSession).await;
        out.expect("logged out");

        let error = flight.land().await.expect_err("over");

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        settle().await;
        world.assert_dead_at_the_provider();
        assert_eq!(world.refresher.usage().unsaved, 0);
    }

    async fn a_waiter_whose_login_was_replaced_elsewhere_is_told_so_and_nothing_is_revoked(
        world: World
    ) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(BeforePut, id).await;
        let elsewhere = elsewhere(&world);
        let session = session_at(&elsewhere, id);
        elsewhere.log_in(&session, world.token_set("bob")).await.expect("logged in");

        let error = flight.land().await.expect_err("over");

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        settle().await;
        assert_eq!(world.issuer.requests(Endpoint::Revocation), 0);
    }
}
