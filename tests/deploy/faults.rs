//! The faults of stores, locks and clocks, and the alerts about them.

use std::time::Duration;

use support::{Op, ScriptedSessions, ScriptedTokens, TokenOp, World, stores, variants::session_at};
use tower_sessions::MemoryStore;
use tower_token_refresh::{
    lock::{LockService, SqliteLock},
    testing::{ManualClock, MemoryTokens},
    tower_sessions,
};

use super::{
    alerts::{Story, fault},
    recording::{Recording, SCRAPED_EVERY},
};

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_token_store_is_down() {
    let down = |down| move |world: &World| world.tokens.refuse_everything(down);
    fault(15, 10, &["RequestsFailing", "StoreFailing"], down(true), down(false)).await;
}

/// Nobody gets as far as a refresh to wait for.
#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_session_store_is_down() {
    let begin = |world: &World| world.sessions.refuse(Op::Load);
    fault(15, 10, &["StoreFailing"], begin, |world| world.sessions.accept(Op::Load)).await;
}

/// It has no token in its memory that it could serve.
#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn a_process_starts_while_the_token_store_is_down() {
    let mut story = Story::begin(15, World::on_swapping).await;
    let before = story.pass(10).await;
    story.world.refresher = story.world.restarted();
    story.world.tokens.refuse_everything(true);
    let during = story.pass(10).await;
    story.world.tokens.refuse_everything(false);
    story.pass(25).await;
    story.recording.judge(before, during, &["StoreFailing"]);
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_token_store_does_not_take_new_tokens() {
    let begin = |world: &World| world.tokens.refuse(TokenOp::Put);
    fault(5, 4, &["UnsavedLogins"], begin, |world| world.tokens.accept(TokenOp::Put)).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn a_second_process_runs_over_a_store_for_one() {
    let mut story = Story::begin(5, World::on_memory).await;
    let before = story.pass(10).await;
    let other = story.world.restarted();
    for _ in 0..3 {
        story.world.expire();
        for (_, id) in &story.users {
            other.valid_token(&session_at(&other, *id)).await.expect("a token");
        }
        story.step().await;
    }
    let during = story.recording.now();
    story.pass(25).await;
    story.recording.judge(before, during, &["SecondProcess"]);
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_clocks_of_the_process_and_of_the_store_differ() {
    let store = ManualClock::new();
    let tokens = MemoryTokens::new().with_clock(store.clock());
    let sessions = ScriptedSessions::new(MemoryStore::default());
    let world = || World::over(sessions, ScriptedTokens::new(tokens), |builder| builder);
    let mut story = Story::begin(5, world).await;
    let mut moments = Vec::new();
    for (minutes, jump) in [(10, 20), (15, -20), (20, 0)] {
        for _ in 0..minutes * 4 {
            store.advance(SCRAPED_EVERY);
            story.step().await;
        }
        moments.push(story.recording.now());
        store.jump_wall(jump);
    }
    story.recording.judge(moments[0], moments[1], &["ClockSkew"]);
}

/// Its database goes on with other things, and has lost the table.
#[tokio::test]
#[ignore = "needs promtool: see tests/services/run"]
async fn locks_cannot_be_had() {
    let mut recording = Recording::of_this_thread();
    let pool = stores::sqlite_file().await;
    let lock = SqliteLock::new(pool.clone());
    lock.migrate().await.expect("a table");
    let mut moments = Vec::new();
    for (scrapes, then) in [
        (40, "ALTER TABLE lock_leases RENAME TO gone"),
        (40, "ALTER TABLE gone RENAME TO lock_leases"),
        (80, "SELECT 1"),
    ] {
        for _ in 0..scrapes {
            if let Ok(guard) = lock.acquire_within("report", Duration::from_secs(1)).await {
                guard.release().await.expect("released");
            }
            recording.take();
        }
        moments.push(recording.now());
        stores::execute_in_sqlite(&pool, then).await;
    }
    recording.judge(moments[0], moments[1], &["LocksUnavailable"]);
}

#[tokio::test]
#[ignore = "needs promtool: see tests/services/run"]
async fn a_lock_is_lost_while_it_is_held() {
    let mut recording = Recording::of_this_thread();
    let pool = stores::sqlite_file().await;
    let lock = SqliteLock::new(pool.clone()).lease(Duration::from_millis(300));
    lock.migrate().await.expect("a table");
    let guard = lock.acquire("report").await.expect("free");
    (0..40).for_each(|_| recording.take());
    let before = recording.now();
    stores::execute_in_sqlite(&pool, "UPDATE lock_leases SET owner = x'00'").await;
    guard.lost().await;
    (0..8).for_each(|_| recording.take());
    let during = recording.now();
    (0..80).for_each(|_| recording.take());
    recording.judge(before, during, &["LeasesLost"]);
}
