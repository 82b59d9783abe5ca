//! The refreshes under way, and the last ones.

use std::time::Duration;

use support::{World, settle, variants::session_at};
use tower_token_refresh::{operate::Stage, testing::Endpoint};

#[tokio::test]
async fn a_refresh_is_seen_at_its_stage_with_those_who_wait() {
    let world = World::swapping_with(|builder| builder.audit_key([7; 32]));
    let id = world.log_in("alice").await;
    world.expire();
    let gate = world.issuer.gate_before(Endpoint::Token);
    let asked: Vec<_> = (0..20).map(|_| world.ask(&world.session(id))).collect();
    gate.reached().await;
    settle().await;
    world.clock.advance(Duration::from_millis(250));

    let snapshot = world.refresher.snapshot();
    assert_eq!((snapshot.running.len(), snapshot.ended.len()), (1, 0));
    let flight = &snapshot.running[0];
    assert_eq!((flight.waiters, flight.early, flight.outcome), (20, false, None));
    let (issuer, subject) = (world.issuer.issuer_url(), world.issuer.subject_of("alice"));
    assert_eq!(flight.user, Some(world.refresher.audit_hash(&issuer, &subject)));
    assert_eq!(flight.took, Duration::from_millis(250));
    let stages: Vec<_> = flight.stages.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, [Stage::Read, Stage::Queue, Stage::Mark, Stage::Request]);
    assert_eq!(world.refresher.health().await.refreshing, 1);

    gate.open();
    for asked in asked {
        asked.await.unwrap().expect("a token");
    }
    let snapshot = world.refresher.snapshot();
    assert_eq!((snapshot.running.len(), snapshot.ended.len()), (0, 1));
    let flight = &snapshot.ended[0];
    assert_eq!((flight.waiters, flight.outcome), (20, Some("refreshed")));
    assert_eq!(flight.stages.last().map(|(stage, _)| *stage), Some(Stage::Write));
}

#[tokio::test]
async fn the_last_256_are_remembered() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    for _ in 0..300 {
        world.expire();
        world.refresher.valid_token(&world.session(id)).await.expect("a token");
    }
    let ended = world.refresher.snapshot().ended;
    assert_eq!(ended.len(), 256);
    assert_eq!((ended[0].id, ended[255].id), (45, 300));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_another_process_is_seen_waiting() {
    let world = World::on_swapping();
    let other = world.restarted();
    let id = world.log_in("alice").await;
    other.valid_token(&session_at(&other, id)).await.expect("a token");
    world.expire();
    let gate = world.issuer.gate_before(Endpoint::Token);
    let first = world.ask(&world.session(id));
    gate.reached().await;
    let session = session_at(&other, id);
    let asking = other.clone();
    let second = tokio::spawn(async move { asking.valid_token(&session).await });
    settle().await;
    let running = other.snapshot().running;
    assert_eq!(running[0].stages.last().map(|(stage, _)| *stage), Some(Stage::Wait));
    gate.open();
    first.await.unwrap().expect("a token");
    second.await.unwrap().expect("the same token");
    assert_eq!(other.snapshot().ended[0].outcome, Some("already_newer"));
}

#[tokio::test]
async fn what_is_serialized_holds_no_secret_and_no_user() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let token = world.refresher.valid_token(&world.session(id)).await.expect("a token");
    let newer = world.refresher.newer_token(&world.session(id), &token).await.expect("a token");
    let text = serde_json::to_string(&world.refresher.snapshot()).unwrap();
    for secret in [
        token.secret(),
        newer.secret(),
        &world.stored_refresh_token(id).await.unwrap(),
        &world.pointer(id).await.unwrap(),
        &world.issuer.subject_of("alice"),
        &id.to_string(),
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains(r#""outcome":"refreshed""#), "{text}");
}
