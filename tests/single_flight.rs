//! One refresh for any number of concurrent requests.

mod common;

use std::time::Duration;

use common::{LIFE, World, shown_generation};
use futures_util::future::join_all;
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, RefreshErrorKind,
    testing::{Endpoint, StrictIssuer},
    tower_sessions,
};

/// `n` requests of one session, each with a `Session` of its own, all asking at once.
async fn storm(world: &World, id: Id, n: usize) -> Vec<AccessToken> {
    let requests = (0..n).map(|_| {
        let (refresher, session) = (world.refresher.clone(), world.session(id));
        tokio::spawn(async move { refresher.valid_token(&session).await })
    });
    join_all(requests.collect::<Vec<_>>())
        .await
        .into_iter()
        .map(|joined| joined.expect("no panic").expect("a token"))
        .collect()
}

async fn one_post_for(n: usize) {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let tokens = storm(&world, id, n).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert!(tokens.iter().all(|token| token.secret() == tokens[0].secret()));
    assert!(world.issuer.is_access_token_live(tokens[0].secret()));
    world.assert_logged_in(id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_makes_one_post() {
    one_post_for(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_callers_make_one_post() {
    one_post_for(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_callers_make_one_post() {
    one_post_for(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_make_one_post() {
    one_post_for(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_make_one_post() {
    one_post_for(10_000).await;
}

#[tokio::test]
async fn a_fresh_token_needs_no_post() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let token = world.refresher.valid_token(&world.session(id)).await.expect("fresh");
    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(world.issuer.token_requests(), 0);
}
