//! A scrape says what the provider has counted, and no series comes with a user.

use std::time::Duration;

use support::{TokenOp, World, scrape::Scrape, settle, variants::session_at};
use tower_token_refresh::{Logout, testing::Endpoint};

const FLIGHTS: &str = "token_refresh_flights_total";
const SERVED: &str = "token_refresh_served_total";

#[tokio::test]
async fn a_storm_is_one_refresh_and_everybody_who_waited_is_counted() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    let gate = world.issuer.gate_before(Endpoint::Token);
    let asked: Vec<_> = (0..50).map(|_| world.ask(&world.session(id))).collect();
    gate.reached().await;
    settle().await;
    world.clock.advance(Duration::from_millis(1500));
    gate.open();
    for asked in asked {
        asked.await.unwrap().expect("a token");
    }
    assert_eq!(world.issuer.refreshes(), 1);
    let issuer = world.issuer.issuer_url();
    let own = [("issuer", &*issuer), ("client", "web")];
    let with = |more: &[(&'static str, &'static str)]| [&own[..], more].concat();
    assert_eq!(scrape.value(FLIGHTS, &with(&[("outcome", "refreshed")])), 1.0);
    assert_eq!(scrape.value(SERVED, &with(&[("from", "refresh")])), 50.0);
    assert_eq!(scrape.value("token_refresh_flight_waiters_sum", &own), 50.0);
    assert_eq!(
        scrape.value("token_refresh_wait_seconds_count", &with(&[("outcome", "served")])),
        50.0
    );
    assert!(scrape.value("token_refresh_wait_seconds_sum", &own) >= 75.0, "50 times 1.5 s");
    let took = |stage| {
        let stage = [("stage", stage)];
        scrape.value("token_refresh_stage_duration_seconds_sum", &stage)
    };
    assert!((took("request") - 1.5).abs() < 0.01, "{}", scrape.text());
    assert!(took("read") < 0.01 && took("mark") < 0.01 && took("write") < 0.01);
    let requests = [("requests", "refresh"), ("outcome", "granted")];
    assert_eq!(
        scrape.value("token_refresh_token_request_duration_seconds_count", &with(&requests)),
        1.0
    );

    for _ in 0..3 {
        world.refresher.valid_token(&world.session(id)).await.expect("a token");
    }
    assert_eq!(scrape.value(SERVED, &with(&[("from", "cache")])), 3.0);
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
    assert_eq!(scrape.value("token_refresh_logins_total", &own), 1.0);
    assert_eq!(
        scrape.value("token_refresh_logins_ended_total", &with(&[("reason", "logout")])),
        1.0
    );
    assert_eq!(
        scrape.value("token_refresh_revocations_total", &with(&[("outcome", "revoked")])),
        1.0
    );

    let stats = world.refresher.stats();
    assert_eq!((stats.served.from_refresh, stats.served.from_cache), (50, 3));
    assert_eq!((stats.flights.refreshed, stats.logins, stats.logins_ended), (1, 1, 1));
    assert_eq!((stats.refreshing, stats.usage.waiting), (0, 0));
}

#[tokio::test]
async fn a_second_process_that_was_slower_is_counted() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let other = world.restarted();
    let id = world.log_in("alice").await;
    other.valid_token(&session_at(&other, id)).await.expect("a token");
    world.expire();
    world.refresher.valid_token(&world.session(id)).await.expect("a token");
    other.valid_token(&session_at(&other, id)).await.expect("a token");
    assert_eq!(world.issuer.refreshes(), 1);
    assert_eq!(scrape.value(FLIGHTS, &[("outcome", "refreshed")]), 1.0);
    assert_eq!(scrape.value(FLIGHTS, &[("outcome", "already_newer")]), 1.0, "its second look");
    assert_eq!(other.stats().flights.already_newer, 1);
}

/// Both have read the record before either of them marks it.
#[tokio::test]
async fn a_mark_that_another_process_has_set_first_is_a_lost_swap() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    let gate = world.tokens.gate_before(TokenOp::Swap);
    let slow = world.ask(&world.session(id));
    gate.reached().await;
    let other = world.restarted();
    other.valid_token(&session_at(&other, id)).await.expect("a token");
    gate.open();
    slow.await.unwrap().expect("the other's token");
    assert_eq!(scrape.value("token_refresh_lost_swaps_total", &[("write", "mark")]), 1.0);
    assert_eq!(world.issuer.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_has_refused_is_a_gauge_that_falls_again() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.refuse_the_next_set(id).await;
    assert_eq!(scrape.value("token_refresh_unsaved_logins", &[]), 1.0);
    assert_eq!(scrape.value("token_refresh_unsaved_total", &[("what", "tokens")]), 1.0);
    world.tokens.accept(TokenOp::Put);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(scrape.value("token_refresh_unsaved_logins", &[]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_breakers_state_is_a_gauge() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let state = || scrape.value("token_refresh_breaker_state", &[("requests", "refresh")]);
    let id = world.log_in("alice").await;
    world.expire();
    assert_eq!(state(), 0.0);
    world.issuer.set_down(true);
    for _ in 0..6 {
        let failed = world.refresher.valid_token(&world.session(id)).await;
        assert!(failed.is_err(), "the provider is down");
        world.clock.advance(Duration::from_secs(2));
    }
    assert_eq!(state(), 2.0, "{}", scrape.text());
    assert!(scrape.value("token_refresh_breaker_opened_total", &[]) >= 1.0);
    world.issuer.set_down(false);
    world.clock.advance(Duration::from_secs(120));
    world.refresher.valid_token(&world.session(id)).await.expect("it is back");
    assert_eq!(state(), 0.0);
}

#[tokio::test]
async fn users_bring_no_series() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let mut series = Vec::new();
    for users in [10, 10_000] {
        for user in 0..users {
            let id = world.log_in(&format!("user-{user}")).await;
            let token = world.refresher.valid_token(&world.session(id)).await.expect("a token");
            if user % 10 == 0 {
                let newer = world.refresher.newer_token(&world.session(id), &token).await;
                newer.expect("a newer token");
                world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("out");
            }
        }
        series.push(scrape.series());
        assert!(!scrape.text().contains("user-"), "a user in a label");
    }
    assert_eq!(series[0], series[1]);
}
