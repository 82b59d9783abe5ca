//! A provider in trouble is left alone, its users are told when to come back, and nobody loses a
//! login.

use std::time::Duration;

use support::World;
use tower_sessions::session::Id;
use tower_token_refresh::{
    Logout, RefreshError, RefreshErrorKind, Revocation,
    testing::{Endpoint, ManualClock},
    tower_sessions,
};

async fn failed(world: &World, id: Id) -> RefreshError {
    let error =
        world.refresher.valid_token(&world.session(id)).await.expect_err("the provider is down");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    error
}

/// Users whose tokens have expired, at a provider that has failed five times in a row.
async fn in_an_outage(users: usize) -> (World, Vec<Id>) {
    let world = World::on_memory();
    let mut ids = Vec::new();
    for user in 0..users {
        ids.push(world.log_in(&format!("user {user}")).await);
    }
    // One failure each: what is in doubt is not presented again so soon.
    let mut unlucky = Vec::new();
    for user in 0..5 {
        unlucky.push(world.log_in(&format!("unlucky {user}")).await);
    }
    world.expire();
    for id in unlucky {
        world.issuer.drop_request_next_at(Endpoint::Token);
        failed(&world, id).await;
    }
    (world, ids)
}

#[tokio::test(start_paused = true)]
async fn one_503_is_not_noticed() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(503, "");
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
    assert_eq!((world.issuer.token_requests(), world.issuer.refreshes()), (2, 1));
    let refresh_token = world.stored_refresh_token(id).await.unwrap();
    assert!(world.issuer.is_refresh_token_live(&refresh_token));
}

#[tokio::test]
async fn after_five_failures_the_provider_is_left_alone_until_one_request_succeeds() {
    let (world, ids) = in_an_outage(20).await;
    let asked = world.issuer.token_requests();
    for id in &ids {
        let wait = failed(&world, *id).await.retry_after().expect("a time to come back");
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
    }
    assert_eq!(world.issuer.token_requests(), asked);

    world.clock.advance(Duration::from_secs(1));
    for id in ids {
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn tokens_that_are_still_good_are_served_all_along() {
    let (world, _) = in_an_outage(1).await;
    let id = world.log_in("newcomer").await;
    assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
}

#[tokio::test]
async fn a_log_out_is_sent_all_the_same() {
    let (world, ids) = in_an_outage(1).await;
    let done = world.refresher.log_out(&world.session(ids[0]), Logout::EndSession).await.unwrap();
    assert!(matches!(done.revocation, Revocation::Revoked), "{done:?}");
    assert_eq!(world.issuer.revocations(), 1);
}

#[tokio::test]
async fn the_state_of_the_provider_goes_by_our_clock() {
    let (world, ids) = in_an_outage(1).await;
    let clock: &ManualClock = &world.clock;
    clock.jump_wall(3600);
    failed(&world, ids[0]).await;
    clock.jump_wall(-3600);
    clock.advance(Duration::from_secs(1));
    assert!(world.refresher.valid_token(&world.session(ids[0])).await.is_ok());
}

/// Each of its requests is refused while another one finds out that the provider is still down.
/// That is no failed refresh of its own.
#[tokio::test]
async fn a_login_in_doubt_comes_back_with_all_the_others() {
    let (world, ids) = in_an_outage(20).await;
    let in_doubt = world.log_in("in doubt").await;
    world.clock.advance(Duration::from_secs(60));
    world.issuer.drop_request_next_at(Endpoint::Token);
    failed(&world, in_doubt).await;
    for id in &ids[1..] {
        world.clock.advance(Duration::from_secs(5));
        world.issuer.drop_request_next_at(Endpoint::Token);
        failed(&world, *id).await;
        failed(&world, in_doubt).await;
    }

    world.clock.advance(Duration::from_secs(5));
    assert!(world.refresher.valid_token(&world.session(ids[0])).await.is_ok());
    assert!(world.refresher.valid_token(&world.session(in_doubt)).await.is_ok());
    world.assert_logged_in(ids[0]).await;
}
