//! What happened is counted once, and as what it was.

use std::time::Duration;

use support::{TokenOp, World, scrape::Scrape, settle, variants::session_at};
use tower_token_refresh::{
    ApiHosts, Logout, OnUnavailable, RefreshErrorKind, RefreshPolicy,
    lock::SqliteLock,
    testing::{Endpoint, FakeLock},
    tower_sessions,
};

const SERVED: &str = "token_refresh_served_total";
const WAITED: &str = "token_refresh_wait_seconds_count";
const LOST_SWAPS: &str = "token_refresh_lost_swaps_total";
/// Of the 60 s that a token lives: due soon, whichever moment was chosen for it.
const EARLY: Duration = Duration::from_secs(46);
/// Less than the leeway before its end.
const NEARLY_OVER: Duration = Duration::from_secs(57);

fn counters(scrape: &Scrape) -> Vec<String> {
    let text = scrape.text();
    let series = text.lines().filter_map(|line| line.rsplit_once(' '));
    let series =
        series.filter(|(series, _)| series.contains("_total{") || series.ends_with("_total"));
    let mut series: Vec<_> = series.map(|(series, _)| series.to_owned()).collect();
    series.sort();
    series
}

#[tokio::test]
async fn each_counter_is_there_before_anything_happens() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    ApiHosts::new(["api.example.com"]).expect("a host");
    let _lock = SqliteLock::new(support::stores::sqlite_file().await);
    let before = counters(&scrape);
    for (name, label) in [
        ("served_total", r#"from="cache""#),
        ("flights_total", r#"outcome="lost_race""#),
        ("flights_total", r#"outcome="lost""#),
        ("flights_total", r#"outcome="subject_changed""#),
        ("logins_ended_total", r#"reason="expired""#),
        ("replays_total", r#"client="web""#),
        ("refused_total", r#"requests="login",reason="queue_full""#),
        ("dropped_id_tokens_total", r#"reason="no_keys""#),
        ("api_401_total", r#"outcome="refused_again""#),
        ("leases_lost_total", r#"backend="sqlite""#),
        ("dropped_saves_total", ""),
    ] {
        let name = format!("token_refresh_{name}");
        let is_it = |series: &&String| series.starts_with(&name) && series.contains(label);
        assert_eq!(before.iter().filter(is_it).count(), 1, "{name} {label}: {before:#?}");
    }
    let id = world.log_in("alice").await;
    world.refresh(id).await;
    world.expire();
    world.issuer.fail_next(500, "");
    assert!(world.refresher.valid_token(&world.session(id)).await.is_err());
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
    assert_eq!(counters(&scrape), before, "events make no series");
}

#[tokio::test]
async fn a_token_that_an_api_has_refused_is_not_counted_and_the_newer_one_is() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let served = |from| scrape.value(SERVED, &[("from", from)]);
    let first = world.refresher.valid_token(&world.session(id)).await.expect("a token");
    assert_eq!((served("cache"), served("refresh")), (1.0, 0.0));
    let newer = world.refresher.newer_token(&world.session(id), &first).await.expect("newer");
    assert_ne!(newer.secret(), first.secret());
    assert_eq!((served("cache"), served("refresh")), (1.0, 1.0));
    let again = world.refresher.newer_token(&world.session(id), &first).await.expect("the same");
    assert_eq!(again.secret(), newer.secret());
    assert_eq!((served("cache"), served("refresh"), served("record")), (2.0, 1.0, 0.0));
    world.issuer.set_down(true);
    world.refresher.newer_token(&world.session(id), &newer).await.expect_err("none is newer");
    assert_eq!(scrape.value(SERVED, &[]), 3.0);
    assert_eq!(world.refresher.stats().served.from_cache, 2);
}

#[tokio::test]
async fn a_token_of_the_record_that_an_api_has_refused_is_not_counted() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let first = world.refresher.valid_token(&world.session(id)).await.expect("a token");
    // A process that has nothing in its cache.
    let other = world.restarted();
    other.newer_token(&session_at(&other, id), &first).await.expect("a newer token");
    assert_eq!(scrape.value(SERVED, &[("from", "record")]), 0.0);
    assert_eq!(scrape.value(SERVED, &[("from", "refresh")]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn who_got_the_old_token_in_the_end_is_not_counted_as_refused() {
    let for_at_most = Duration::from_secs(300);
    let lenient =
        RefreshPolicy::default().on_unavailable(OnUnavailable::ServeExpired { for_at_most });
    for (policy, passes) in
        [(RefreshPolicy::default(), NEARLY_OVER), (lenient, Duration::from_secs(70))]
    {
        let scrape = Scrape::of_this_thread();
        let world = World::swapping_with(|builder| builder.policy(policy));
        let id = world.log_in("alice").await;
        world.issuer.set_down(true);
        world.clock.advance(passes);
        world.refresher.valid_token(&world.session(id)).await.expect("the old one");
        let waited = |outcome| scrape.value(WAITED, &[("outcome", outcome)]);
        assert_eq!((waited("served_old"), waited("unavailable")), (1.0, 0.0));
        assert_eq!(scrape.value(SERVED, &[("from", "expired")]), 1.0);
        world.clock.advance(for_at_most);
        let refused = world.refresher.valid_token(&world.session(id)).await;
        assert_eq!(refused.expect_err("too old").kind(), RefreshErrorKind::Unavailable);
        assert_eq!((waited("served_old"), waited("unavailable")), (1.0, 1.0));
    }
}

#[tokio::test]
async fn a_mark_that_comes_too_late_for_a_logout_is_no_lost_swap() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let session = world.request(id).await;
    world.expire();
    let gate = world.tokens.gate_before(TokenOp::Swap);
    let refresh = world.ask(&session);
    gate.reached().await;
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
    gate.open();
    let refused = refresh.await.unwrap().expect_err("logged out");
    assert_eq!(refused.kind(), RefreshErrorKind::LoggedOut);
    settle().await;
    assert_eq!(scrape.value(LOST_SWAPS, &[]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_was_kept_and_comes_too_late_is_a_lost_swap() {
    let scrape = Scrape::of_this_thread();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.refuse_the_next_set(id).await;
    world.store_elsewhere(id, 3).await;
    world.tokens.accept(TokenOp::Put);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(scrape.value(LOST_SWAPS, &[("write", "put")]), 1.0);
    assert_eq!(scrape.value("token_refresh_unsaved_logins", &[]), 0.0);
}

/// It began with nobody, and another process has the lock.
#[tokio::test]
async fn an_early_refresh_that_gives_way_says_who_waited_for_it() {
    let scrape = Scrape::of_this_thread();
    let lock = FakeLock::new();
    let world = World::swapping_with(|builder| builder.lock(lock.clone()));
    let other = world.restarted_with(|builder| builder.lock(lock.clone()));
    let id = world.log_in("alice").await;
    other.valid_token(&session_at(&other, id)).await.expect("in its cache");
    world.clock.advance(EARLY);
    let post = world.issuer.gate_before(Endpoint::Token);
    other.valid_token(&session_at(&other, id)).await.expect("it is due soon");
    post.reached().await;
    lock.stand_still(true);
    world.refresher.valid_token(&world.session(id)).await.expect("it is due soon here, too");
    world.clock.advance(Duration::from_secs(20));
    let joined = world.ask(&world.session(id));
    settle().await;
    lock.stand_still(false);
    settle().await;
    let ended = world.refresher.snapshot().ended;
    let ended: Vec<_> =
        ended.iter().map(|flight| (flight.early, flight.outcome, flight.waiters)).collect();
    assert_eq!(ended, [(true, Some("other_process"), 1)]);
    post.open();
    joined.await.unwrap().expect("the other's token");
    assert_eq!(world.issuer.refreshes(), 1);
    assert_eq!(scrape.value("token_refresh_flight_waiters_sum", &[]), 2.0, "it waited twice");
}

async fn too_little_time_is_left_after_the_mark(world: &World, id: tower_sessions::session::Id) {
    let gate = world.tokens.gate_before(TokenOp::Swap);
    let refresh = world.ask(&world.session(id));
    gate.reached().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    gate.open();
    refresh.await.unwrap().expect_err("no time was left for a whole request");
    settle().await;
}

fn in_a_hurry() -> World {
    let world = World::on_swapping();
    let endpoint = support::endpoint(&world.issuer).request_timeout(Duration::from_secs(2));
    world.asking(endpoint)
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_was_not_sent_is_not_counted() {
    let scrape = Scrape::of_this_thread();
    let world = in_a_hurry();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next(500, "");
    world.refresher.valid_token(&world.session(id)).await.expect_err("its answer is lost");
    world.clock.advance(Duration::from_secs(2));
    too_little_time_is_left_after_the_mark(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(scrape.value("token_refresh_replays_total", &[]), 0.0);
    assert_eq!(scrape.value("token_refresh_refused_total", &[("reason", "no_time_left")]), 1.0);
    assert!(world.stored_tokens(id).await.is_presenting(), "the first request is still in doubt");
    world.clock.advance(Duration::from_secs(4));
    world.refresher.valid_token(&world.session(id)).await.expect("the replay");
    assert_eq!(scrape.value("token_refresh_replays_total", &[]), 1.0);
}

/// No doubt is left of it.
#[tokio::test(start_paused = true)]
async fn the_mark_of_a_refresh_that_was_not_sent_is_taken_back() {
    let world = in_a_hurry();
    let id = world.log_in("alice").await;
    world.expire();
    too_little_time_is_left_after_the_mark(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 0);
    assert!(world.stored_tokens(id).await.is_live());
    world.refresher.valid_token(&world.session(id)).await.expect("at once");
}
