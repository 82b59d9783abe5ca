//! Exchanged tokens while the provider or the token store is in trouble.

use std::time::Duration;

use support::{LIFE, ScriptedTokens, TokenOp, World, log::Log, settle, tokio_now};
use tower_token_refresh::{
    LoginTokens, RefreshPolicy, TokenSet,
    testing::{Endpoint, Gate, StrictIssuer},
};

use crate::{SECOND, orders};

async fn alice(world: &World) -> LoginTokens {
    let handle = world.refresher.adopt(world.token_set("alice")).await.expect("adopted");
    world.refresher.tokens(&handle)
}

/// The login's own token has expired, and nobody needs it.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_here_is_served_at_once_whatever_ails_the_provider() {
    let ails: [fn(&StrictIssuer) -> Option<Gate>; 4] = [
        |issuer| Some(issuer.gate_before(Endpoint::Token)),
        |issuer| {
            issuer.fail_next(200, "<html>");
            None
        },
        |issuer| {
            issuer.fail_next_oauth(401, "invalid_client");
            None
        },
        |issuer| {
            issuer.set_down(true);
            None
        },
    ];
    for (case, ail) in ails.iter().enumerate() {
        let world = World::on_swapping();
        let login = alice(&world).await;
        let alice = orders(&world.refresher).tokens(&login);
        world.clock.advance(25 * SECOND);
        let held = alice.token().await.expect("a token").secret().to_owned();
        let _closed = ail(&world.issuer);
        world.clock.advance(LIFE - 24 * SECOND);
        let began = tokio_now();
        for _ in 0..2 {
            assert_eq!(alice.token().await.expect("it is here").secret(), held, "case {case}");
        }
        assert!(began.elapsed() < SECOND, "case {case}: {:?}", began.elapsed());
    }
}

/// As for the login's own token. And it does not wait so long again.
#[tokio::test(start_paused = true)]
async fn while_the_token_store_hangs_a_token_that_is_here_is_served() {
    let world = World::on_swapping();
    let login = alice(&world).await;
    let alice = orders(&world.refresher).tokens(&login);
    world.clock.advance(25 * SECOND);
    let held = alice.token().await.expect("a token").secret().to_owned();
    world.clock.advance(LIFE - 24 * SECOND);
    let _closed = world.tokens.gate_before(TokenOp::Load);
    let began = tokio_now();
    for _ in 0..3 {
        assert_eq!(alice.token().await.expect("it is here").secret(), held);
    }
    assert!(began.elapsed() < 11 * SECOND, "{:?}", began.elapsed());
}

/// After an answer that nobody can read, the refresh token is presented again once the access token
/// has expired: also where nobody waits for that.
#[tokio::test(start_paused = true)]
async fn a_doubt_of_the_last_refresh_does_not_stop_the_next_ones() {
    let world = World::on_swapping().at(|issuer| issuer.access_token_lifetime(60 * LIFE));
    let mut answer = world.issuer.log_in("alice");
    answer["expires_in"] = 60.into();
    let set = TokenSet::from_response(answer).expect("a token response");
    let handle = world.refresher.adopt(set).await.expect("adopted");
    let exchanged = orders(&world.refresher).tokens(&world.refresher.tokens(&handle));
    exchanged.token().await.expect("good for an hour");
    world.clock.advance(61 * SECOND);
    world.issuer.fail_next(500, "a proxy was restarted");
    for _ in 0..12 {
        exchanged.token().await.expect("it is here");
        tokio::time::sleep(10 * SECOND).await;
        world.clock.advance(10 * SECOND);
    }
    assert_eq!(world.issuer.refreshes(), 1);
}

/// The caller has waited for the token store before, so that less than its limit is left.
#[tokio::test(start_paused = true)]
async fn within_the_leeway_a_good_token_is_served_when_the_limit_has_come() {
    let policy = RefreshPolicy::default().wait_timeout(2 * SECOND).leeway(15 * SECOND);
    let policy = policy.confirm_after(Duration::ZERO);
    let world = World::swapping_with(|builder| builder.policy(policy));
    let login = alice(&world).await;
    let exchanged = orders(&world.refresher).tokens(&login);
    let held = exchanged.token().await.expect("a token").secret().to_owned();
    world.clock.advance(50 * SECOND);
    login.token().await.expect("its own is refreshed");
    world.clock.advance(SECOND);
    let read = world.tokens.gate_before(TokenOp::Load);
    let _closed = world.issuer.gate_before(Endpoint::Token);
    let waiter = tokio::spawn(async move { exchanged.token().await });
    read.reached().await;
    tokio::time::sleep(SECOND / 20).await;
    read.open();
    assert_eq!(waiter.await.unwrap().expect("it is good for 9 s").secret(), held);
}

#[tokio::test]
async fn a_store_that_panics_is_as_one_that_fails() {
    for mishap in [ScriptedTokens::panic_next, ScriptedTokens::fail_next] {
        let world = World::swapping_with(|builder| builder.cache_bytes(0));
        let exchanged = orders(&world.refresher).tokens(&alice(&world).await);
        exchanged.token().await.expect("a token");
        mishap(&world.tokens, TokenOp::Load);
        exchanged.token().await.expect("it is here");
    }
}

#[tokio::test]
async fn refreshes_that_nobody_waits_for_are_paused_while_the_store_panics() {
    let world = World::on_swapping();
    let exchanged = orders(&world.refresher).tokens(&alice(&world).await);
    world.clock.advance(25 * SECOND);
    exchanged.token().await.expect("a token");
    settle().await;
    (0..60).for_each(|_| world.tokens.panic_next(TokenOp::Load));
    world.clock.advance(LIFE - 24 * SECOND);
    let log = Log::of_this_thread();
    for _ in 0..20 {
        exchanged.token().await.expect("it is here");
        settle().await;
    }
    let failed = log.text().matches("token refresh failed").count();
    assert!((1..=2).contains(&failed), "{failed} refreshes failed at one moment");
}
