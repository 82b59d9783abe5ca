//! What an exchange must not do to the logins beside it, and a logout to the exchange.

use std::{pin::pin, time::Duration};

use futures_util::poll;
use support::{LIFE, ScriptedSessions, ScriptedTokens, TokenOp, World, settle, tokio_now};
use tower_token_refresh::{
    GrantHandle, LoginTokens, Logout, RefreshErrorKind, TokenRefresher, TokenSet,
    testing::{Endpoint, MemoryTokens, StrictIssuer},
    tower_sessions::MemoryStore,
};

use crate::{SECOND, orders};

async fn login(
    world: &World,
    user: &str,
) -> (LoginTokens, tower_token_refresh::tower_sessions::Session) {
    let session = world.session(world.log_in(user).await);
    (world.refresher.login_tokens(&session).await.expect("logged in"), session)
}

#[tokio::test]
async fn within_the_leeway_a_logout_is_not_answered_with_the_old_token() {
    let world = World::on_swapping();
    let (login, session) = login(&world, "alice").await;
    let alice = orders(&world.refresher).tokens(&login);
    alice.token().await.expect("a token");
    world.clock.advance(LIFE - 2 * SECOND);
    login.token().await.expect("its own is refreshed");
    let gate = world.issuer.gate_after(Endpoint::Token);
    let waiter = tokio::spawn({
        let alice = alice.clone();
        async move { alice.token().await }
    });
    gate.reached().await;
    world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    let error = waiter.await.unwrap().expect_err("she has logged out");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
}

#[tokio::test]
async fn whoever_is_woken_after_the_logout_gets_no_token() {
    let world = World::on_swapping();
    let (login, session) = login(&world, "alice").await;
    let alice = orders(&world.refresher).tokens(&login);
    let rejected = alice.token().await.expect("a token");
    // The answer is there, and this task has not looked at it yet.
    let mut waiting = pin!(alice.newer_than(&rejected));
    assert!(poll!(waiting.as_mut()).is_pending());
    settle().await;
    assert_eq!(world.issuer.requests(Endpoint::Token), 2);
    world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    let error = waiting.await.expect_err("she has logged out");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_refresh_and_exchange_together_no_longer_than_the_policy_says() {
    let world = World::on_swapping();
    let (login, _) = login(&world, "alice").await;
    let alice = orders(&world.refresher).tokens(&login);
    world.clock.advance(LIFE);
    let gates = [(); 2].map(|()| world.issuer.gate_before(Endpoint::Token));
    let began = tokio_now();
    let waiter = tokio::spawn(async move { alice.token().await });
    gates[0].reached().await;
    tokio::time::sleep(9 * SECOND).await;
    gates[0].open();
    let error = waiter.await.unwrap().expect_err("it takes longer");
    assert_eq!(error.kind(), RefreshErrorKind::WaitTimeout);
    assert!(began.elapsed() < 11 * SECOND, "{:?}", began.elapsed());
}

/// It is no matter that a refresh was not waited for: what it finds out counts from then on.
#[tokio::test]
async fn a_login_that_ends_by_its_refresh_takes_the_exchanged_token_along() {
    let world = World::on_swapping();
    let (login, _) = login(&world, "alice").await;
    let alice = orders(&world.refresher).tokens(&login);
    world.clock.advance(25 * SECOND);
    alice.token().await.expect("a token");
    world.issuer.fail_next_oauth(400, "invalid_grant");
    world.clock.advance(LIFE - 24 * SECOND);
    alice.token().await.expect("nobody knows yet");
    login.ended().await;
    assert_eq!(world.issuer.requests(Endpoint::Token), 2);
    let error = alice.token().await.expect_err("the provider has ended it");
    assert_eq!(error.kind().status(), 401);
}

/// Her holder outlives what is kept for her, and what is known of her logout.
#[tokio::test]
async fn a_logout_counts_for_whoever_was_pushed_out_of_the_cache() {
    let world = World::on_swapping().at(|issuer| issuer.access_token_lifetime(60 * LIFE));
    let ((login, session), (_, others)) =
        (login(&world, "alice").await, login(&world, "bob").await);
    let exchange = orders(&world.refresher);
    let alice = exchange.tokens(&login);
    alice.token().await.expect("a token");
    // Nobody knows that these have no login.
    world.tokens.refuse(TokenOp::Load);
    for number in 0..11_000 {
        let handle = GrantHandle::from_secret(&format!("{number:032x}")).expect("a handle");
        let somebody = exchange.tokens(&world.refresher.tokens(&handle));
        somebody.token().await.expect_err("the store is down");
    }
    world.tokens.accept(TokenOp::Load);
    world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    world.clock.advance(11 * LIFE);
    world.refresher.log_out(&others, Logout::EndSession).await.expect("logged out");
    world.tokens.refuse(TokenOp::Load);
    let answer = alice.token().await.map(|token| token.secret().len());
    assert!(answer.is_err(), "she has logged out");
}

/// This process has never waited for a token of the login.
#[tokio::test]
async fn a_store_that_tells_of_logouts_is_listened_to_for_exchanges_as_well() {
    let sessions = ScriptedSessions::new(MemoryStore::default());
    let tokens = ScriptedTokens::new(MemoryTokens::new().telling());
    let world = World::over(sessions, tokens, |builder| builder);
    let handle = world.refresher.adopt(world.token_set("alice")).await.expect("adopted");
    let process = world.restarted();
    let alice = orders(&process).tokens(&process.tokens(&handle));
    alice.token().await.expect("a token");
    settle().await;
    world.refresher.end(&handle).await.expect("ended");
    settle().await;
    let error = alice.token().await.expect_err("it was told");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
}

/// Eight users of a provider that knows another API.
async fn eight_users(world: &World) -> (StrictIssuer, TokenRefresher, Vec<LoginTokens>) {
    let issuer = StrictIssuer::builder()
        .clock(world.clock.clock())
        .access_token_lifetime(60 * LIFE)
        .apis(["stock"])
        .build();
    let refresher = TokenRefresher::builder(support::endpoint(&issuer), MemoryStore::default())
        .clock(world.clock.clock())
        .build()
        .expect("the settings agree");
    let mut logins = Vec::new();
    for user in 0..8 {
        let set = TokenSet::from_response(issuer.log_in(&format!("user-{user}"))).unwrap();
        logins.push(refresher.tokens(&refresher.adopt(set).await.expect("adopted")));
    }
    (issuer, refresher, logins)
}

#[tokio::test]
async fn an_exchange_that_is_refused_to_all_stops_no_refresh() {
    let world = World::on_swapping();
    let (_issuer, refresher, logins) = eight_users(&world).await;
    let exchange = orders(&refresher);
    for login in &logins[..7] {
        exchange.tokens(login).token().await.expect_err("no such API");
    }
    let token = logins[7].token().await.expect("a token");
    logins[7].newer_than(&token).await.expect("it is refreshed");
}

#[tokio::test]
async fn an_exchange_that_fails_opens_no_breaker_for_refreshes() {
    let world = World::on_swapping();
    let (issuer, refresher, logins) = eight_users(&world).await;
    let exchange = orders(&refresher);
    for login in &logins[..7] {
        issuer.clear_script();
        issuer.fail_next(500, "the exchange is broken");
        exchange.tokens(login).token().await.expect_err("it fails");
    }
    issuer.clear_script();
    let token = logins[7].token().await.expect("a token");
    logins[7].newer_than(&token).await.expect("it is refreshed");
}

#[tokio::test]
async fn a_refused_exchange_of_a_login_without_a_refresh_token_says_why() {
    let world = World::on_swapping();
    let mut answer = world.issuer.log_in("alice");
    answer.as_object_mut().unwrap().remove("refresh_token");
    let set = TokenSet::from_response(answer).unwrap();
    let handle = world.refresher.adopt(set).await.expect("adopted");
    let login = world.refresher.tokens(&handle);
    world.issuer.fail_next_oauth(400, "invalid_request");
    let error = orders(&world.refresher).tokens(&login).token().await.expect_err("refused");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    login.token().await.expect("the login lives on");
}

#[test]
fn the_longest_limit_can_be_tripled() {
    let issuer = StrictIssuer::new();
    let a_day = Duration::from_secs(24 * 60 * 60);
    let endpoint = support::endpoint(&issuer).request_timeout(a_day);
    let refresher = TokenRefresher::builder(endpoint, MemoryStore::default()).build().unwrap();
    orders(&refresher);
}
