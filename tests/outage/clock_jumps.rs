//! The wall clock jumps an hour: nobody is logged out, nothing is presented twice, nothing hangs.
//! What depends on the time that a provider has written into a token waits until the clock is right
//! again.

use std::time::Duration;

use futures_util::future::join_all;
use support::{LIFE, ScriptedSessions, ScriptedTokens, World, races::Station, settle};
use tower_sessions::MemoryStore;
use tower_token_refresh::{
    BackChannelError, ClaimsTrust, ClientAuth, RefreshErrorKind, RefreshPolicy, TokenEndpoint,
    TokenRefresher,
    testing::{Endpoint, ManualClock, MemoryTokens},
    tower_sessions,
};

use super::{
    marks::{another_process, ask_at, look_again, watch},
    refused, served,
};

const HOUR: i64 = 3600;

/// The provider has a clock of its own, which does not jump.
fn world() -> World {
    let providers = ManualClock::new();
    World::configured(|issuer| issuer.clock(providers.clock()), |builder| builder)
}

/// Every token looks expired: each login is refreshed once, and once only.
#[tokio::test]
async fn forward_each_login_is_refreshed_once() {
    let world = world();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.log_in("alice").await);
    }
    world.clock.jump_wall(HOUR);
    for _ in 0..3 {
        let requests = ids.iter().map(|id| world.ask(&world.session(*id)));
        for token in join_all(requests).await {
            assert!(world.issuer.is_access_token_live(token.unwrap().expect("a token").secret()));
        }
        settle().await;
    }
    assert_eq!(world.issuer.refresh_requests(), 20);
    for id in ids {
        world.assert_logged_in(id).await;
    }
}

/// The provider's own clock has not jumped: the tokens it takes for good look expired here, and the
/// other way round.
#[tokio::test]
async fn back_expired_tokens_are_served_until_an_api_refuses_one() {
    let world = world();
    let id = world.log_in("alice").await;
    world.clock.jump_wall(HOUR);
    let token = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");
    world.clock.jump_wall(-HOUR);
    for _ in 0..5 {
        let served = world.refresher.valid_token(&world.session(id)).await.expect("served");
        assert_eq!(served.secret(), token.secret(), "by this clock it is good for an hour");
    }
    assert_eq!(world.issuer.refresh_requests(), 1);

    let newer = world
        .refresher
        .newer_token(&world.session(id), &token)
        .await
        .expect("an API has refused it");
    assert_ne!(newer.secret(), token.secret());
    assert_eq!(world.issuer.refresh_requests(), 2);
    world.assert_logged_in(id).await;
}

/// The token looks good for another hour, and until then its refresh token is not presented again.
#[tokio::test]
async fn back_in_a_doubt_nobody_is_told_to_stay_away_for_an_hour() {
    let world = world();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(500, "");
    assert!(
        world.refresher.valid_token(&world.session(id)).await.is_err(),
        "the refresh token is in doubt"
    );
    world.clock.jump_wall(-HOUR);
    world.clock.advance(Duration::from_secs(30));
    let token = world.refresher.valid_token(&world.session(id)).await.expect("it looks good again");
    let error =
        world.refresher.newer_token(&world.session(id), &token).await.expect_err("in doubt");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(300)));
}

#[tokio::test]
async fn in_the_middle_of_a_refresh_nothing_hangs_and_nothing_is_lost() {
    for jump in [HOUR, -HOUR] {
        let world = world();
        let id = world.log_in("alice").await;
        world.expire();
        let answer = world.issuer.gate_after(Endpoint::Token);
        let waiter = world.ask(&world.session(id));
        answer.reached().await;
        world.clock.jump_wall(jump);
        answer.open();
        settle().await;
        assert!(waiter.await.unwrap().is_ok(), "jump of {jump} s");
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
        world.assert_logged_in(id).await;
    }
}

/// The mark of a refresh that the clock has jumped back from lies in the future.
#[tokio::test(start_paused = true)]
async fn back_a_mark_from_the_future_ages_from_when_it_is_first_seen() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.clock.advance(Duration::from_secs(1000));
    world.issuer.fail_next(500, "");
    refused(&world, id).await;
    world.clock.jump_wall(-600);
    let waiting = ask_at(&another_process(&world), id);
    look_again().await;
    watch(&world, Duration::from_secs(29)).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.clock.advance(Duration::from_secs(1));
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(world.issuer.refresh_requests(), 2);
}

/// The store tells the time by a clock of its own, and two looks five seconds apart are five real
/// seconds apart.
#[tokio::test(start_paused = true)]
async fn while_another_process_refreshes_nothing_is_presented_twice() {
    for jump in [HOUR, -HOUR] {
        let stores = ManualClock::new();
        let tokens = MemoryTokens::new().with_clock(stores.clock());
        let sessions = ScriptedSessions::new(MemoryStore::default());
        let world = World::over(sessions, ScriptedTokens::new(tokens), |builder| builder);
        let id = world.log_in("alice").await;
        stores.advance(LIFE);
        let flight = world.flight_at(Station::BeforePost, id).await;
        let jumps = ManualClock::new();
        jumps.advance(LIFE);
        let policy = RefreshPolicy::default().wait_timeout(Duration::from_secs(120));
        let other = world.restarted_with(|builder| builder.clock(jumps.clock()).policy(policy));
        let waiting = ask_at(&other, id);
        look_again().await;
        jumps.jump_wall(jump);
        look_again().await;
        assert_eq!(world.issuer.refresh_requests(), 0, "jump of {jump} s");

        let token = flight.land().await.expect("refreshed");
        let found = waiting.await.unwrap();
        if jump < 0 {
            assert_eq!(found.expect("found in the store").secret(), token.secret());
        }
        assert_eq!(world.issuer.max_presented(), 1, "jump of {jump} s");
    }
}

/// By a clock that is an hour off nobody can say whether a provider's token is good now.
#[tokio::test]
async fn while_it_is_wrong_claims_are_not_verified_and_logout_tokens_refused() {
    let world = world();
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(world.issuer.issuer_url())
        .jwks_url(world.issuer.jwks_url())
        .transport(world.issuer.transport());
    let refresher = TokenRefresher::builder(endpoint, world.sessions.clone())
        .token_store(world.tokens.clone())
        .clock(world.clock.clock())
        .claims_trust(ClaimsTrust::Verified { audience: None })
        .back_channel_logout([7; 32])
        .build()
        .expect("the settings agree");
    let world = World { refresher, ..world };
    for jump in [HOUR, -HOUR] {
        world.clock.jump_wall(jump);
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.expect("logged in");
        let token = served(&world, id).await;
        let error = token.verify().await.expect_err("expired, or not valid yet");
        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
        let logout_token = world.issuer.logout_token(Some("alice"), None);
        let error = world.refresher.end_by_logout_token(&logout_token).await.expect_err("the same");
        assert!(matches!(error, BackChannelError::Refused(_)), "{error:?}");

        world.clock.jump_wall(-jump);
        token.verify().await.expect("by the right time it verifies");
        let ended = world.refresher.end_by_logout_token(&logout_token).await;
        ended.expect("and so does the logout token");
        assert!(world.tokens_of(&grant).await.is_ended());
        assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::NoTokens);
    }
}
