//! A token store for one process that serves two: each of them says so once. One process alone
//! never says it, whatever it does.

use std::time::Duration;

use support::{
    TokenOp, World,
    log::Log,
    races::Station::{AfterPost, AfterPut, AfterRead, BeforePut},
    settle,
    variants::session_at,
};
use tower_token_refresh::TokenRefresher;

/// After this a token has to be confirmed.
const A_MINUTE: Duration = Duration::from_secs(61);

fn warnings(log: &Log) -> usize {
    let lines = log.lines_at("WARN");
    lines.iter().filter(|line| line.contains("which is safe for one process only")).count()
}

/// Each process refreshes the login in turn.
async fn take_turns(world: &World, processes: [&TokenRefresher; 2]) {
    let id = world.log_in("alice").await;
    for _ in 0..3 {
        for process in processes {
            world.expire();
            process.valid_token(&session_at(process, id)).await.expect("a token");
        }
    }
}

#[tokio::test]
async fn each_of_two_processes_says_once_that_it_meets_another() {
    let log = Log::of_this_thread();
    let world = World::on_memory();
    let other = world.restarted();

    take_turns(&world, [&world.refresher, &other]).await;

    assert_eq!(warnings(&log), 2, "{}", log.text());
}

#[tokio::test]
async fn over_a_store_that_compares_and_swaps_nobody_says_it() {
    let log = Log::of_this_thread();
    let world = World::on_swapping();
    let other = world.restarted();

    take_turns(&world, [&world.refresher, &other]).await;

    assert_eq!(warnings(&log), 0);
}

/// A request reads the record at every step of a refresh, before or after its write.
#[tokio::test(start_paused = true)]
async fn one_process_does_not_take_itself_for_another() {
    let log = Log::of_this_thread();
    let world = World::on_memory();
    for at in [AfterRead, AfterPost, BeforePut, AfterPut] {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(at, id).await;
        world.clock.advance(A_MINUTE);
        let reading = world.ask(&world.request(id).await);
        settle().await;
        flight.land().await.expect("a token");
        reading.await.expect("no panic").expect("a token");
    }
    assert_eq!(warnings(&log), 0);
}

#[tokio::test(start_paused = true)]
async fn nor_where_the_store_refuses_a_set_or_loses_its_answer() {
    let log = Log::of_this_thread();
    let world = World::on_memory();
    let id = world.log_in("alice").await;

    world.refuse_the_next_set(id).await;
    world.tokens.accept(TokenOp::Put);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.clock.advance(A_MINUTE);
    world.refresher.valid_token(&world.session(id)).await.expect("a token");

    world.expire();
    world.tokens.lose_next_answer(TokenOp::Put);
    world.refresher.valid_token(&world.session(id)).await.expect("a token");
    world.clock.advance(A_MINUTE);
    world.refresher.valid_token(&world.session(id)).await.expect("a token");

    assert_eq!(warnings(&log), 0);
}

/// The read has begun before the refresh, and its answer comes after it.
#[tokio::test]
async fn nor_where_a_read_overtakes_its_own_refresh() {
    let log = Log::of_this_thread();
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(A_MINUTE / 2);
    let read = world.tokens.gate_before(TokenOp::Load);
    let session = world.session(id);
    let rejected = world.refresher.valid_token(&session).await.expect("good, and read again");
    read.reached().await;

    world.refresher.newer_token(&session, &rejected).await.expect("a newer one");
    read.open();
    settle().await;

    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    assert_eq!(warnings(&log), 0);
}
