//! The token store fails at the worst moment of a refresh.

use std::time::Duration;

use support::{
    TokenOp, World, on_every_store,
    races::Station::{AfterPost, BeforePost},
    settle,
};
use tower_token_refresh::{RefreshErrorKind, testing::Endpoint};

use crate::PAUSE;

on_every_store! {
    // Neither reads nor writes work once the provider has answered.
    async fn a_waiter_is_served_though_the_whole_store_is_down(world: World) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(AfterPost, id).await;
        world.tokens.refuse_everything(true);

        let token = flight.land().await.expect("what the provider gave");

        assert!(world.issuer.is_access_token_live(token.secret()));
        let again = world.refresher.valid_token(&world.session(id)).await.expect("from memory");
        assert_eq!(again.secret(), token.secret());
        let stored = world.tokens.gate_after(TokenOp::Put);
        world.tokens.refuse_everything(false);
        stored.reached().await;
        world.assert_logged_in(id).await;
    }

    async fn a_store_that_cannot_be_read_lets_nobody_present_a_refresh_token(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        world.tokens.refuse(TokenOp::Load);

        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("not known");

        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(world.issuer.refresh_requests(), 0);
        world.tokens.accept(TokenOp::Load);
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
        world.assert_logged_in(id).await;
    }

    async fn a_mark_whose_answer_got_lost_is_found_by_its_nonce(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        world.tokens.lose_next_answer(TokenOp::Swap);

        let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.issuer.refresh_requests(), 1);
        assert!(world.stored_tokens(id).await.is_live());
        world.assert_logged_in(id).await;
    }

    // It is stored, and tried again all the same: that finds itself.
    async fn a_write_whose_answer_got_lost_is_made_once(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        world.tokens.lose_next_answer(TokenOp::Put);
        world.refresher.valid_token(&world.session(id)).await.expect("refreshed");
        let again = world.tokens.gate_after(TokenOp::Put);
        again.reached().await;
        again.open();
        settle().await;

        assert_eq!(world.refresher.usage().unsaved, 0);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    // The provider has certainly not used the token up, and the store refuses to take the mark
    // back.
    async fn a_mark_that_cannot_be_taken_back_is_no_obstacle_to_the_process_that_set_it(
        world: World
    ) {
        let id = world.log_in("alice").await;
        world.expire();
        world.issuer.fail_next(403, "a firewall's");
        let post = world.issuer.gate_before(Endpoint::Token);
        let request = world.ask(&world.session(id));
        post.reached().await;
        world.tokens.fail_next(TokenOp::Swap);
        post.open();
        assert!(request.await.unwrap().is_err());
        assert!(world.stored_tokens(id).await.is_presenting());

        world.clock.advance(PAUSE);
        let token = world.refresher.valid_token(&world.session(id)).await.expect("tried afresh");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert!(world.stored_tokens(id).await.is_live());
    }
}

/// One process excludes by itself: a store that only refuses writes is noticed by nobody.
#[tokio::test]
async fn a_plain_store_that_refuses_the_mark_does_not_hold_the_refresh_up() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.tokens.refuse(TokenOp::Swap);

    let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    world.assert_logged_in(id).await;
}

/// Nothing else would keep another process from presenting the same token.
#[tokio::test]
async fn a_swapping_store_that_refuses_the_mark_lets_nobody_present() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    world.tokens.refuse(TokenOp::Swap);

    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("no mark");

    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 0);
    world.tokens.accept(TokenOp::Swap);
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_swapping_store_that_goes_down_after_the_mark_is_set_stops_no_answer() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let flight = world.flight_at(BeforePost, id).await;
    world.tokens.refuse_everything(true);
    let token = flight.land().await.expect("served");
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert!(world.stored_tokens(id).await.is_presenting());
    assert_eq!(world.refresher.usage().unsaved, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_holds_nobody_for_longer_than_ten_seconds() {
    let world = World::patient();
    let id = world.log_in("alice").await;
    let session = world.request(id).await;
    world.expire();
    let _stuck = world.tokens.gate_before(TokenOp::Load);
    let answer =
        tokio::time::timeout(Duration::from_millis(10_100), world.refresher.valid_token(&session))
            .await;
    assert_eq!(answer.expect("in time").unwrap_err().kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 0, "nobody knows what the store holds");
}
