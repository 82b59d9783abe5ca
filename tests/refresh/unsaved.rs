//! The provider has given new tokens and the token store does not take them: they are kept in
//! memory, served, and written later.

use std::time::Duration;

use support::{
    LIFE, StoredTokens, TokenOp, World, paused_on_every_store, settle, variants::session_at,
};
use tokio::time::sleep;
use tower_sessions::session::Id;
use tower_token_refresh::{
    RefreshErrorKind, RefreshPolicy, TokenRefresherBuilder,
    testing::{Endpoint, StrictIssuerBuilder},
    token_store::TokenRecord,
    tower_sessions,
};

/// Within this time after the store accepts again it has the tokens.
const WITHIN: Duration = Duration::from_secs(2);

/// A user whose second token set the store refuses.
pub async fn with_unsaved_tokens(world: &World) -> Id {
    let id = world.log_in("alice").await;
    world.refuse_the_next_set(id).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
    assert_eq!(world.refresher.usage().unsaved, 1);
    id
}

paused_on_every_store! {
    async fn unsaved_tokens_are_served_at_once_and_the_used_refresh_token_is_not_presented_again(
        world: World
    ) {
        let id = with_unsaved_tokens(&world).await;
        for _ in 0..10 {
            let session = world.session(id);
            let asking = world.refresher.valid_token(&session);
            let token = tokio::time::timeout(Duration::from_millis(1), asking).await;
            let token = token.expect("at once").expect("served");
            assert!(world.issuer.is_access_token_live(token.secret()));
        }
        assert_eq!(world.issuer.refresh_requests(), 1);
    }

    // No request comes any more.
    async fn they_are_written_in_the_background_as_soon_as_the_store_accepts(world: World) {
        let id = with_unsaved_tokens(&world).await;
        sleep(Duration::from_secs(120)).await;
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "refused all along");
        world.tokens.accept(TokenOp::Put);
        let puts = world.tokens.calls(TokenOp::Put);

        sleep(WITHIN).await;

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert!(world.stored_tokens(id).await.is_live(), "the mark went with it");
        assert_eq!(world.refresher.usage().unsaved, 0);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(world.tokens.calls(TokenOp::Put) - puts, 1, "written once");
        assert_eq!(world.issuer.refresh_requests(), 1);
        world.assert_logged_in(id).await;
    }

    async fn a_store_that_hiccups_has_them_a_moment_later(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        world.tokens.fail_next(TokenOp::Put);
        world.refresher.valid_token(&world.session(id)).await.expect("served");

        sleep(Duration::from_millis(60)).await;

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert_eq!(world.refresher.usage().unsaved, 0);
    }

    // While the store refuses, for hours perhaps.
    async fn the_store_is_tried_every_two_seconds_and_no_more_often(world: World) {
        with_unsaved_tokens(&world).await;
        sleep(Duration::from_secs(300)).await;
        let puts = world.tokens.calls(TokenOp::Put);
        sleep(Duration::from_secs(600)).await;
        let puts = world.tokens.calls(TokenOp::Put) - puts;
        assert!((299..=301).contains(&puts), "{puts}");
    }

    // It asks the provider nothing, even if they have expired by then.
    async fn writing_them_late_presents_no_refresh_token(world: World) {
        let id = with_unsaved_tokens(&world).await;
        world.expire();
        world.tokens.accept(TokenOp::Put);
        sleep(WITHIN).await;
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert_eq!(world.issuer.refresh_requests(), 1);
    }

    async fn the_next_set_that_the_store_refuses_is_written_as_well(world: World) {
        let id = with_unsaved_tokens(&world).await;
        world.tokens.accept(TokenOp::Put);
        sleep(WITHIN).await;
        world.refuse_the_next_set(id).await;
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));

        world.tokens.accept(TokenOp::Put);
        sleep(WITHIN).await;

        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        world.assert_logged_in(id).await;
    }

    async fn a_request_that_needs_newer_ones_writes_them_first(world: World) {
        let id = with_unsaved_tokens(&world).await;
        world.expire();
        world.tokens.accept(TokenOp::Put);

        let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!((world.issuer.refresh_requests(), world.issuer.max_presented()), (2, 1));
        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        assert_eq!(world.refresher.usage().unsaved, 0);
        world.assert_logged_in(id).await;
    }

    // Whatever somebody else did: it is theirs that counts.
    async fn they_give_way_to_newer_ones_in_the_store(world: World) {
        if world.keys.is_some() {
            return; // nobody else can seal
        }
        let id = with_unsaved_tokens(&world).await;
        let key = world.record_key(id).await;
        let text = world.record(id).await.to_text();
        let newer = text.replace("\"generation\":1", "\"generation\":3");
        let newer = TokenRecord::from_text(&newer).expect("a record");
        world.put_back(key, Some(&newer)).await;
        world.tokens.accept(TokenOp::Put);

        sleep(WITHIN).await;

        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        assert_eq!(world.refresher.usage().unsaved, 0);
    }

    async fn a_record_that_has_gone_is_not_made_again_for_them(world: World) {
        let id = with_unsaved_tokens(&world).await;
        world.put_back(world.record_key(id).await, None).await;
        world.tokens.accept(TokenOp::Put);

        sleep(WITHIN).await;

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.refresher.usage().unsaved, 0);
        assert_eq!(world.issuer.requests(Endpoint::Revocation), 0, "that is not a logout");
    }

    // The session of a request that runs on meanwhile is saved under another id.
    async fn a_session_cycled_meanwhile_points_to_them(world: World) {
        let old = with_unsaved_tokens(&world).await;
        let session = world.session(old);
        session.cycle_id().await.expect("cycled");
        session.save().await.expect("saved");
        world.tokens.accept(TokenOp::Put);
        sleep(WITHIN).await;
        let new = session.id().expect("saved");
        assert_eq!(world.stored_tokens(new).await.generation(), Some(2));
        world.assert_logged_in(new).await;
    }
}

fn without_cache(builder: TokenRefresherBuilder) -> TokenRefresherBuilder {
    builder.cache_bytes(0)
}

/// The cache may forget anything at any moment; what is unsaved is not in its hands alone.
#[tokio::test(start_paused = true)]
async fn they_are_served_though_the_cache_has_forgotten_them() {
    for world in [World::with(without_cache), World::swapping_with(without_cache)] {
        let id = with_unsaved_tokens(&world).await;
        let token = world.refresher.valid_token(&world.session(id)).await.expect("unsaved");
        assert!(world.issuer.is_access_token_live(token.secret()));

        world.tokens.refuse_everything(true);
        let again = world.refresher.valid_token(&world.session(id)).await.expect("unsaved");
        assert_eq!(again.secret(), token.secret());
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

/// One process excludes by itself.
#[tokio::test(start_paused = true)]
async fn over_a_plain_store_expired_ones_are_refreshed_with_their_own_refresh_token() {
    let world = World::on_memory();
    let id = with_unsaved_tokens(&world).await;
    world.expire();

    let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!((world.issuer.refresh_requests(), world.issuer.max_presented()), (2, 1));
    assert_eq!(world.refresher.usage().unsaved, 1, "the newer one has taken its place");
    world.tokens.accept(TokenOp::Put);
    sleep(WITHIN).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
    world.assert_logged_in(id).await;
}

/// No mark can be set on what the store does not have.
#[tokio::test(start_paused = true)]
async fn over_a_swapping_store_expired_ones_are_written_before_any_request_to_the_provider() {
    let world = World::on_swapping();
    let id = with_unsaved_tokens(&world).await;
    world.expire();

    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("no mark");

    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert!(world.stored_tokens(id).await.is_presenting(), "the mark stays");
    world.tokens.accept(TokenOp::Put);
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
    assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
    world.assert_logged_in(id).await;
}

/// The store was down for longer than a mark holds others off. When it is back, another process
/// looks twice, five seconds apart, before it presents the used token again; it meets the tokens
/// before that.
#[tokio::test(start_paused = true)]
async fn another_process_meets_them_before_it_may_present_the_used_refresh_token_again() {
    let world = World::on_swapping();
    let elsewhere = world.restarted_with(|builder| builder.token_store(world.tokens.another_way()));
    let id = with_unsaved_tokens(&world).await;
    world.clock.advance(Duration::from_secs(45));
    let session = session_at(&elsewhere, id);
    let theirs = tokio::spawn(async move { elsewhere.valid_token(&session).await });
    settle().await;
    assert!(!theirs.is_finished(), "it has looked once");
    world.tokens.accept(TokenOp::Put);

    let theirs = theirs.await.unwrap().expect("ours");

    let ours = world.refresher.valid_token(&world.session(id)).await.expect("fresh");
    assert_eq!(theirs.secret(), ours.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_holds_the_waiters_for_ten_seconds_at_the_most() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        world.expire();
        let _stuck = world.tokens.gate_before(TokenOp::Put);
        let session = world.session(id);
        let asking = world.refresher.valid_token(&session);
        let served = tokio::time::timeout(Duration::from_millis(10_100), asking).await;
        let token = served.expect("in time").expect("served");
        assert!(world.issuer.is_access_token_live(token.secret()));
        sleep(WITHIN).await;
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2), "in the end");
    }
}

/// Nobody could refresh with them any more, and the login is as good as over.
#[tokio::test(start_paused = true)]
async fn they_are_given_up_when_their_refresh_token_has_expired() {
    let lives =
        |issuer: StrictIssuerBuilder| issuer.refresh_token_lifetime(Duration::from_secs(900));
    let world = World::configured(lives, |builder| builder.policy(RefreshPolicy::default()));
    with_unsaved_tokens(&world).await;
    world.clock.advance(Duration::from_secs(900) - LIFE);
    sleep(WITHIN).await;
    assert_eq!(world.refresher.usage().unsaved, 1);

    world.clock.advance(LIFE);
    sleep(WITHIN).await;

    assert_eq!(world.refresher.usage().unsaved, 0);
    let puts = world.tokens.calls(TokenOp::Put);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.tokens.calls(TokenOp::Put), puts);
}
