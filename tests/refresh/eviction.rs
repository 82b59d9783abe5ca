//! The cache may lose any entry at any moment, and nothing breaks.

use std::time::Duration;

use futures_util::future::join_all;
use support::{LIFE, World, races::Station, settle};
use tower_sessions::{MemoryStore, session::Id};
use tower_token_refresh::{
    Logout, RefreshErrorKind, TokenRefresherBuilder, testing::Endpoint, tower_sessions,
};

const STATIONS: [Station; 8] = [
    Station::BeforeRead,
    Station::AfterRead,
    Station::BeforeMark,
    Station::AfterMark,
    Station::BeforePost,
    Station::AfterPost,
    Station::BeforePut,
    Station::AfterPut,
];

/// Nothing is ever kept.
fn none(builder: TokenRefresherBuilder) -> TokenRefresherBuilder {
    builder.cache_bytes(0)
}

/// About two tokens.
fn two(builder: TokenRefresherBuilder) -> TokenRefresherBuilder {
    builder.cache_bytes(5000)
}

fn worlds(configure: fn(TokenRefresherBuilder) -> TokenRefresherBuilder) -> [World; 2] {
    [World::on(MemoryStore::default(), configure), World::swapping_with(configure)]
}

async fn ask_at_once(world: &World, id: Id, requests: usize) {
    let requests = (0..requests).map(|_| world.ask(&world.session(id)));
    for answer in join_all(requests.collect::<Vec<_>>()).await {
        let token = answer.expect("no panic").expect("a token");
        assert!(world.issuer.is_access_token_live(token.secret()));
    }
}

#[tokio::test]
async fn without_any_cache_each_expiry_makes_one_post_for_any_number_of_requests() {
    for world in worlds(none) {
        let id = world.log_in("alice").await;
        for expiry in 1..=5 {
            world.expire();
            ask_at_once(&world, id, 100).await;
            assert_eq!(world.issuer.refresh_requests(), expiry);
            assert_eq!(world.refresher.usage().cached_tokens, 0);
        }
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn without_any_cache_a_rejected_token_is_refreshed_once() {
    for world in worlds(none) {
        let id = world.log_in("alice").await;
        let session = world.session(id);
        let rejected = world.refresher.valid_token(&session).await.expect("fresh");
        for _ in 0..3 {
            let newer = world.refresher.newer_token(&session, &rejected).await.expect("newer");
            assert_ne!(newer.secret(), rejected.secret());
        }
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

#[tokio::test]
async fn without_any_cache_a_token_that_is_due_soon_is_refreshed_once_and_nobody_waits() {
    for world in worlds(none) {
        let id = world.log_in("alice").await;
        world.clock.advance(LIFE - Duration::from_secs(10));
        let post = world.issuer.gate_before(Endpoint::Token);
        ask_at_once(&world, id, 10).await;
        post.reached().await;
        post.open();
        settle().await;
        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    }
}

#[tokio::test]
async fn without_any_cache_a_log_out_is_known_at_once() {
    for world in worlds(none) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let mut flight = world.flight_at(Station::AfterPost, id).await;
        world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
        let waiter = flight.answer_meanwhile().await.expect_err("over");
        assert_eq!(waiter.kind(), RefreshErrorKind::LoggedOut);
        let later = world.refresher.valid_token(&slow).await.expect_err("over");
        assert_eq!(later.kind(), RefreshErrorKind::LoggedOut);
        flight.land_alone().await;
        settle().await;
        world.assert_dead_at_the_provider();
    }
}

/// The tokens are pushed out of the cache while their refresh stands at any of its steps.
#[tokio::test]
async fn a_refresh_whose_old_tokens_are_pushed_out_meanwhile_lands_all_the_same() {
    for at in STATIONS {
        for world in worlds(two) {
            let id = world.log_in("alice").await;
            let flight = world.flight_at(at, id).await;
            for user in 0..20 {
                world.log_in(&format!("user {user}")).await;
            }
            let follower = world.ask(&world.session(id));
            settle().await;

            let token = flight.land().await.expect("refreshed");

            assert!(world.issuer.is_access_token_live(token.secret()));
            assert_eq!(follower.await.unwrap().expect("the same").secret(), token.secret());
            assert_eq!(world.issuer.refresh_requests(), 1, "{at:?}");
            world.assert_logged_in(id).await;
        }
    }
}

/// Many users, a cache for two of them, and requests in an order that looks random.
#[tokio::test]
async fn users_who_push_each_other_out_of_the_cache_stay_logged_in() {
    const USERS: usize = 12;
    for world in worlds(two) {
        let mut ids = Vec::new();
        for user in 0..USERS {
            ids.push(world.log_in(&format!("user {user}")).await);
        }
        let mut dice: u64 = 7;
        for _ in 0..40 {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let random = usize::try_from(dice >> 40).expect("24 bits");
            let requests = (0..6).map(|n| world.ask(&world.session(ids[(random + n * n) % USERS])));
            for answer in join_all(requests.collect::<Vec<_>>()).await {
                let token = answer.expect("no panic").expect("a token");
                assert!(world.issuer.is_access_token_live(token.secret()));
            }
            assert!(world.refresher.usage().cached_tokens <= 3);
            world.clock.advance(Duration::from_secs(dice >> 59));
        }
        for id in ids {
            world.assert_logged_in(id).await;
        }
    }
}
