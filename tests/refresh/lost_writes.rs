//! A token store that fails over comes back without its last write. Its record then shows a refresh
//! token that has been used up; presenting it would end the login.

use std::time::Duration;

use support::{
    LIFE, StoredTokens, TokenOp, World, on_every_store, races::Station::BeforePut, settle,
    variants::session_at,
};
use tower_sessions::{MemoryStore, session::Id};
use tower_token_refresh::{
    AccessToken, Logout, RefreshErrorKind, RefreshPolicy, token_store::TokenRecord, tower_sessions,
};

/// For as long a process remembers what it wrote last.
const REMEMBERED: Duration = Duration::from_secs(90);
const CONFIRM_AFTER: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(1);

/// Records are read again after 20 s, and nothing is refreshed ahead of its time.
fn policy() -> RefreshPolicy {
    RefreshPolicy::default().confirm_after(CONFIRM_AFTER).refresh_ahead(Duration::ZERO)
}

fn worlds() -> [World; 2] {
    [
        World::on(MemoryStore::default(), |builder| builder.policy(policy())),
        World::swapping_with(|builder| builder.policy(policy())),
    ]
}

/// A user whose tokens were refreshed once, and what the store held before.
async fn refreshed_once(world: &World) -> (Id, TokenRecord) {
    let id = world.log_in("alice").await;
    let before = world.record(id).await;
    world.refresh(id).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    (id, before)
}

/// The store has lost that refresh.
async fn lost_its_last_write(world: &World) -> Id {
    let (id, before) = refreshed_once(world).await;
    world.put_back(world.record_key(id).await, Some(&before)).await;
    assert_eq!(world.stored_tokens(id).await.generation(), Some(1));
    id
}

on_every_store! {
    async fn a_flight_writes_what_the_store_has_lost_before_it_presents_anything(world: World) {
        let id = lost_its_last_write(&world).await;
        world.expire();

        let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        assert_eq!(world.issuer.refresh_requests(), 2);
        world.assert_logged_in(id).await;
    }

    // Of the two writes of a refresh only the second is lost.
    async fn the_mark_that_was_left_is_written_over(world: World) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(BeforePut, id).await;
        let marked = world.record(id).await;
        flight.land().await.expect("refreshed");
        world.put_back(world.record_key(id).await, Some(&marked)).await;
        assert!(world.stored_tokens(id).await.is_presenting());
        world.expire();

        world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        world.assert_logged_in(id).await;
    }

    async fn a_login_that_ended_meanwhile_stays_ended(world: World) {
        let id = lost_its_last_write(&world).await;
        let slow = world.request(id).await;
        let elsewhere = world.restarted();
        let out = elsewhere.log_out(&session_at(&elsewhere, id), Logout::KeepSession).await;
        out.expect("logged out");
        let grant = support::shown_pointer(&slow).await.expect("a login");
        world.expire();

        let error = world.refresher.valid_token(&slow).await.expect_err("over");

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert!(world.tokens_of(grant.strip_prefix("g1.").unwrap()).await.is_ended());
        assert_eq!(world.issuer.refresh_requests(), 1);
    }

    async fn a_record_that_has_gone_is_not_made_again(world: World) {
        let (id, _) = refreshed_once(&world).await;
        world.put_back(world.record_key(id).await, None).await;
        world.expire();

        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("gone");

        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.issuer.refresh_requests(), 1);
    }

    async fn a_log_out_revokes_the_tokens_that_the_store_has_lost(world: World) {
        let id = lost_its_last_write(&world).await;

        world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");

        world.assert_dead_at_the_provider();
    }

    // Another process would serve it until its access token expires.
    async fn an_ending_that_the_store_has_lost_holds_in_the_process_that_wrote_it(world: World) {
        let (id, _) = refreshed_once(&world).await;
        let (slow, key, live) =
            (world.request(id).await, world.record_key(id).await, world.record(id).await);
        world.refresher.log_out(&world.session(id), Logout::KeepSession).await.expect("logged out");
        world.put_back(key, Some(&live)).await;
        for _ in 0..5 {
            let error = world.refresher.valid_token(&slow).await.expect_err("over");
            assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
            world.expire();
        }
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

#[tokio::test]
async fn a_read_in_the_background_finds_it() {
    for world in worlds() {
        let id = lost_its_last_write(&world).await;
        world.clock.advance(CONFIRM_AFTER / 2 + MOMENT);

        world.refresher.valid_token(&world.session(id)).await.expect("fresh");
        settle().await;

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert_eq!(world.issuer.refresh_requests(), 1);
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn a_read_before_serving_finds_it() {
    for world in worlds() {
        let id = lost_its_last_write(&world).await;
        world.clock.advance(CONFIRM_AFTER + MOMENT);

        world.refresher.valid_token(&world.session(id)).await.expect("fresh");

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert_eq!(world.issuer.refresh_requests(), 1);
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn a_store_that_refuses_what_it_has_lost_stops_nobody_who_has_a_fresh_token() {
    for world in worlds() {
        let id = lost_its_last_write(&world).await;
        world.tokens.refuse(TokenOp::Put);
        world.clock.advance(CONFIRM_AFTER + MOMENT);

        let token = world.refresher.valid_token(&world.session(id)).await.expect("fresh");

        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

/// The process that wrote the tokens is gone, and this one has only served them.
async fn served_without_a_copy(world: World, policy: RefreshPolicy) -> (World, Id, TokenRecord) {
    let (id, before) = refreshed_once(&world).await;
    let written = world.record(id).await;
    let world = World { refresher: world.restarted_with(|it| it.policy(policy)), ..world };
    world.refresher.valid_token(&world.session(id)).await.expect("read from the store");
    world.put_back(world.record_key(id).await, Some(&before)).await;
    (world, id, written)
}

async fn ask(world: &World, id: Id) -> AccessToken {
    world.refresher.valid_token(&world.session(id)).await.expect("a token")
}

#[tokio::test]
async fn without_a_copy_a_fresh_token_is_served_and_nothing_is_presented() {
    for world in worlds() {
        let (world, id, _) = served_without_a_copy(world, policy()).await;
        for _ in 0..2 {
            world.clock.advance(CONFIRM_AFTER + MOMENT);
            let token = ask(&world, id).await;
            assert!(world.issuer.is_access_token_live(token.secret()));
        }
        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "nobody has the other");
    }
}

/// The used refresh token would kill the access token that is still good.
#[tokio::test]
async fn without_a_copy_neither_a_rejected_token_nor_one_that_is_due_soon_is_refreshed() {
    for world in worlds() {
        let (world, id, _) = served_without_a_copy(world, RefreshPolicy::default()).await;
        let session = world.session(id);
        let rejected = ask(&world, id).await;

        let error = world.refresher.newer_token(&session, &rejected).await.expect_err("none");

        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(LIFE), "when the token has expired");
        world.clock.advance(LIFE - Duration::from_secs(10));
        let due_soon = ask(&world, id).await;
        settle().await;
        assert!(world.issuer.is_access_token_live(due_soon.secret()));
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

/// Somebody must try, or the login is lost for certain.
#[tokio::test]
async fn without_a_copy_an_expired_token_is_an_ambiguous_outcome() {
    for world in worlds() {
        let (world, id, _) = served_without_a_copy(world, policy()).await;
        world.expire();

        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("refused");

        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        assert_eq!(world.issuer.max_presented(), 2, "it was presented again");
        assert!(world.stored_tokens(id).await.is_ended());
    }
}

#[tokio::test]
async fn without_a_copy_and_without_replay_an_expired_token_ends_the_login() {
    for world in worlds() {
        let (world, id, _) = served_without_a_copy(world, policy().replay(false)).await;
        world.expire();

        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("over");

        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        assert_eq!(world.issuer.max_presented(), 1);
    }
}

#[tokio::test]
async fn a_store_that_finds_the_write_again_is_used_as_before() {
    for world in worlds() {
        let (world, id, written) = served_without_a_copy(world, policy()).await;
        world.clock.advance(CONFIRM_AFTER + MOMENT);
        ask(&world, id).await;
        world.put_back(world.record_key(id).await, Some(&written)).await;
        world.expire();

        ask(&world, id).await;

        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn what_this_process_wrote_longer_ago_it_no_longer_has() {
    for world in worlds() {
        let id = lost_its_last_write(&world).await;
        world.clock.advance(REMEMBERED);

        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("refused");

        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
    }
}
