//! A store that tells each process what the others do.

use support::{TokenOp, log::Log, races::Station, settle};
use tower_token_refresh::{Logout, RefreshErrorKind};

use super::{Pair, SECOND, ask, refused, served};

// Promise 5.
#[tokio::test(start_paused = true)]
async fn a_log_out_elsewhere_is_known_at_once() {
    let pair = Pair::told();
    let id = pair.logged_in().await;
    let early = pair.world.request(id).await;
    let loads = pair.world.tokens.calls(TokenOp::Load);

    pair.other.log_out(&pair.session(id), Logout::EndSession).await.expect("logged out");
    settle().await;

    let error = pair.world.refresher.valid_token(&early).await.expect_err("ended");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(pair.world.tokens.calls(TokenOp::Load), loads, "nobody had to look");
}

// Promise 6.
#[tokio::test(start_paused = true)]
async fn a_session_that_ended_elsewhere_with_its_login_is_empty_at_once() {
    let pair = Pair::told();
    let id = pair.logged_in().await;
    let logging_out = pair.session(id);
    logging_out.load().await.unwrap();
    let early = pair.world.request(id).await;
    early.cycle_id().await.unwrap();
    early.save().await.unwrap();
    let cycled = early.id().expect("an id");

    pair.other.log_out(&logging_out, Logout::EndSession).await.expect("logged out");
    settle().await;

    assert_eq!(refused(&pair.world.refresher, cycled).await.kind(), RefreshErrorKind::NoTokens);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_process_looks_once_when_its_refresh_has_ended() {
    let pair = Pair::told();
    let id = pair.logged_in().await;
    pair.world.expire();
    let flight = pair.world.flight_at(Station::BeforePost, id).await;
    let waiter = ask(&pair.other, id);
    settle().await;
    let seen = pair.way.calls(TokenOp::Load);

    let first = flight.land().await.expect("a token");
    let second = waiter.await.unwrap().expect("the same");

    assert_eq!(first.secret(), second.secret());
    assert_eq!(pair.way.calls(TokenOp::Load), seen + 1, "it was woken, and has not polled");
    assert_eq!(pair.posts(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_when_a_mark_is_taken_back() {
    let pair = Pair::told();
    let id = pair.logged_in().await;
    pair.world.expire();
    let flight = pair.world.flight_at(Station::BeforePost, id).await;
    let waiter = ask(&pair.other, id);
    settle().await;
    for _ in 0..2 {
        pair.world.issuer.fail_next(503, "");
    }

    let _overloaded = flight.land().await.expect_err("the provider was overloaded");

    assert!(waiter.await.unwrap().is_ok(), "it presents the token itself");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_told_nothing_for_a_while_looks_at_the_store() {
    let pair = Pair::told();
    let id = pair.logged_in().await;
    let early = pair.world.request(id).await;
    let log = Log::of_this_thread();

    pair.store.hang_up();
    pair.other.log_out(&pair.session(id), Logout::EndSession).await.expect("logged out");
    settle().await;
    assert!(pair.world.refresher.valid_token(&early).await.is_ok(), "nobody has told it");
    assert!(log.text().contains("does not tell what other processes do"), "{}", log.text());

    pair.world.clock.advance(61 * SECOND);
    let error = pair.world.refresher.valid_token(&early).await.expect_err("ended");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
}

#[tokio::test(start_paused = true)]
async fn a_process_hears_again_after_its_connection_was_lost() {
    let pair = Pair::told();
    let id = pair.logged_in().await;
    pair.store.hang_up();
    tokio::time::sleep(SECOND).await;
    let early = pair.world.request(id).await;

    pair.other.log_out(&pair.session(id), Logout::EndSession).await.expect("logged out");
    settle().await;

    let error = pair.world.refresher.valid_token(&early).await.expect_err("ended");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_gone_hears_nothing_any_more() {
    let pair = Pair::told();
    let id = pair.logged_in().await;
    let (other, tasks) = (pair.other.clone(), tokio::runtime::Handle::current().metrics());
    settle().await;
    let before = tasks.num_alive_tasks();
    drop(pair.world);
    settle().await;
    assert_eq!(tasks.num_alive_tasks(), before - 1, "the one that listened");
    assert!(served(&other, id).await.expires_at() > std::time::SystemTime::UNIX_EPOCH);
}
