//! A mark that somebody else has set, who may have died after the request: when it may be taken
//! over, and what becomes of a process that was not dead but slow.

use std::time::Duration;

use support::{ScriptedTokens, TokenOp, World, log::Log, races::Station, variants::session_at};
use tower_sessions::session::Id;
use tower_token_refresh::{
    RefreshErrorKind, RefreshPolicy, TokenRefresher, testing::Endpoint, tower_sessions,
};

use super::{
    marks::{SECOND, another_process, ask_at, look_again, watch},
    refused, served,
};

/// How old a mark may be and still hold everybody else off: request, write and skew.
const DEADLINE: Duration = Duration::from_secs(15 + 10 + 5);

/// A refresh whose outcome nobody knows, as its process ended after the request. It never arrived.
async fn after_a_crash(world: &World) -> Id {
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(500, "");
    refused(world, id).await;
    assert!(world.stored_tokens(id).await.is_presenting());
    id
}

/// Rule 6: past its deadline, and no earlier, however often it was looked at.
#[tokio::test(start_paused = true)]
async fn the_mark_of_a_dead_process_holds_until_its_deadline() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = after_a_crash(&world).await;
        let waiting = ask_at(&another_process(&world), id);
        look_again().await;
        for _ in 1..DEADLINE.as_secs() {
            watch(&world, SECOND).await;
            assert_eq!(world.issuer.refresh_requests(), 1);
        }
        world.clock.advance(SECOND);
        let token = waiting.await.unwrap().expect("presented again");
        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_eq!(world.issuer.refresh_requests(), 2);
        assert!(world.stored_tokens(id).await.is_live());
    }
}

/// Rule 6: the set of the process that set it may be on its way to a store that was down.
#[tokio::test(start_paused = true)]
async fn a_mark_past_its_deadline_is_looked_at_twice_five_seconds_apart() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = after_a_crash(&world).await;
        world.clock.advance(10 * DEADLINE);
        let waiting = ask_at(&another_process(&world), id);
        look_again().await;
        for _ in 1..5 {
            watch(&world, SECOND).await;
            assert_eq!(world.issuer.refresh_requests(), 1);
        }
        world.clock.advance(SECOND);
        assert!(waiting.await.unwrap().is_ok());
        assert_eq!(world.issuer.refresh_requests(), 2);
    }
}

/// Two looks at the marks of two refreshes are no two looks.
#[tokio::test(start_paused = true)]
async fn a_new_mark_is_looked_at_from_the_beginning() {
    let world = World::on_swapping();
    let id = after_a_crash(&world).await;
    world.clock.advance(DEADLINE);
    let waiting = ask_at(&another_process(&world), id);
    look_again().await;
    // The process has not died, and tries once more: in vain.
    world.clock.advance(4 * SECOND);
    world.issuer.fail_next(500, "");
    refused(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 2);
    look_again().await;
    watch(&world, DEADLINE - SECOND).await;
    assert_eq!(world.issuer.refresh_requests(), 2);
    world.clock.advance(SECOND);
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(world.issuer.refresh_requests(), 3);
}

/// Rule 6: the set may be waiting for the end of the outage that hinders the others' marks.
#[tokio::test(start_paused = true)]
async fn after_the_store_has_refused_a_mark_the_looks_begin_again() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let flight = world.flight_at(Station::AfterPost, id).await;
    world.tokens.refuse_writes(true);
    let token = flight.land().await.expect("kept in memory");
    let other = another_process(&world);
    let waiting = ask_at(&other, id);
    look_again().await;
    watch(&world, DEADLINE).await;
    assert!(waiting.await.unwrap().is_err(), "the store refuses its mark");

    // Before the first process tries to store its set again.
    world.tokens.refuse_writes(false);
    world.clock.advance(2 * SECOND);
    let found = ask_at(&other, id).await.unwrap().expect("stored meanwhile");

    assert_eq!(found.secret(), token.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

/// Rule 6: a consumed token would kill the access token that is good.
#[tokio::test(start_paused = true)]
async fn a_restarted_process_presents_nothing_again_while_the_access_token_is_good() {
    let hour = Duration::from_secs(3600);
    let world = World::configured(|issuer| issuer.access_token_lifetime(hour), |builder| builder);
    let id = world.log_in("alice").await;
    let rejected = served(&world, id).await;
    world.issuer.drop_answer_next();
    assert!(world.refresher.newer_token(&world.session(id), &rejected).await.is_err());

    let restarted = another_process(&world);
    let session = session_at(&restarted, id);
    let rejected = restarted.valid_token(&session).await.expect("it is good");
    let asking = restarted.clone();
    let waiting = tokio::spawn(async move { asking.newer_token(&session, &rejected).await });
    look_again().await;
    watch(&world, DEADLINE).await;
    let error = waiting.await.unwrap().expect_err("it could kill the token that is good");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);

    let good = restarted.valid_token(&session_at(&restarted, id)).await.expect("served");
    assert!(world.issuer.is_access_token_live(good.secret()));
    assert_eq!(world.issuer.refresh_requests(), 1);
}

/// Rule 4: both have seen the mark of the dead process twice, and one of them is faster.
#[tokio::test(start_paused = true)]
async fn of_two_processes_that_take_a_mark_over_one_presents_the_token() {
    let world = World::on_swapping();
    let id = after_a_crash(&world).await;
    world.clock.advance(DEADLINE);
    let way = world.tokens.another_way();
    let slow = at(&world, &way);
    let swap = way.gate_before(TokenOp::Swap);
    let (slow, fast) = (ask_at(&slow, id), ask_at(&another_process(&world), id));
    look_again().await;
    let post = world.issuer.gate_before(Endpoint::Token);
    world.clock.advance(5 * SECOND);
    swap.reached().await;
    post.reached().await;

    swap.open();
    look_again().await;
    assert!(!slow.is_finished());
    assert_eq!(world.issuer.refresh_requests(), 1, "one of them stands before the provider");
    post.open();

    let (slow, fast) = (slow.await.unwrap().unwrap(), fast.await.unwrap().unwrap());
    assert_eq!(slow.secret(), fast.secret());
    assert_eq!(world.issuer.refresh_requests(), 2);
}

/// A process that reaches the token records by a way with gates of its own.
fn at(world: &World, way: &ScriptedTokens) -> TokenRefresher {
    let policy = RefreshPolicy::default().wait_timeout(Duration::from_secs(120));
    world.restarted_with(|builder| builder.policy(policy).token_store(way.clone()))
}

/// Rule 7: another process has taken its mark over meanwhile.
#[tokio::test(start_paused = true)]
async fn a_process_that_slept_after_its_mark_begins_again() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let asleep = world.flight_at(Station::AfterMark, id).await;
    world.clock.advance(DEADLINE);
    let awake = ask_at(&another_process(&world), id);
    look_again().await;
    world.clock.advance(5 * SECOND);
    let token = awake.await.unwrap().expect("the mark is past its deadline");
    assert_eq!(world.issuer.refresh_requests(), 1);

    let found = asleep.land().await.expect("found in the store");

    assert_eq!(found.secret(), token.secret());
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

/// Rule 8: its mark was taken over, and the newer set is the good one all the same.
#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_stored_over_a_mark_that_was_taken_over() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let slow = world.flight_at(Station::AfterPost, id).await;
    world.clock.advance(DEADLINE);
    let other = another_process(&world);
    let taking_over = ask_at(&other, id);
    look_again().await;
    world.issuer.fail_next(500, "");
    world.clock.advance(5 * SECOND);
    assert!(taking_over.await.unwrap().is_err());
    assert_eq!(world.issuer.refresh_requests(), 2);

    let token = slow.land().await.expect("refreshed");

    assert!(world.stored_tokens(id).await.is_live());
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    let found = other.valid_token(&session_at(&other, id)).await.expect("found in the store");
    assert_eq!(found.secret(), token.secret());
    assert_eq!(world.issuer.refresh_requests(), 2);
}

/// Rule 14: the newer tokens are stored between its last look at the record and its ending.
#[tokio::test(start_paused = true)]
async fn a_refusal_ends_no_tokens_that_are_newer_than_what_was_presented() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let slow = world.flight_at(Station::BeforePost, id).await;
    world.issuer.fail_next_oauth(400, "invalid_grant");
    let end = world.tokens.gate_before(TokenOp::End);
    let slow = tokio::spawn(slow.land());
    end.reached().await;
    world.clock.advance(DEADLINE);
    let other = ask_at(&another_process(&world), id);
    look_again().await;
    world.clock.advance(5 * SECOND);
    let token = other.await.unwrap().expect("the mark is past its deadline");

    end.open();

    let found = slow.await.unwrap().expect("the newer tokens are good");
    assert_eq!(found.secret(), token.secret());
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    let refresh_token = world.stored_refresh_token(id).await.expect("logged in");
    assert!(world.issuer.is_refresh_token_live(&refresh_token));
}

/// Rule 14: the refusal is about the token that the slow process presented, not about the newer
/// one.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_comes_late_ends_no_newer_tokens() {
    let log = Log::of_this_thread();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let slow = world.flight_at(Station::BeforePost, id).await;
    world.clock.advance(DEADLINE);
    let other = ask_at(&another_process(&world), id);
    look_again().await;
    world.clock.advance(5 * SECOND);
    let token = other.await.unwrap().expect("refreshed");
    // A provider that forgives: a strict one would have ended the login.
    world.issuer.fail_next_oauth(400, "invalid_grant");

    let found = slow.land().await.expect("the newer tokens are good");

    assert_eq!(found.secret(), token.secret());
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    let refresh_token = world.stored_refresh_token(id).await.expect("logged in");
    assert!(world.issuer.is_refresh_token_live(&refresh_token));
    assert!(log.text().contains("lost_race"));
    let warnings = log.lines_at("WARN");
    assert!(
        warnings.iter().any(|line| line.contains("another process had presented before")),
        "{warnings:#?}"
    );
    let audit = log.lines_at("INFO");
    let is_suspected = |line: &String| line.contains("audit") && line.contains("reuse_suspected");
    assert!(audit.iter().any(is_suspected), "{audit:#?}");
}
