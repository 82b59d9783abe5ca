//! How many commands a server of ours gets.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use support::endpoint;
use tower_sessions::{CachingSessionStore, MemoryStore, Session, SessionStore, session::Id};
use tower_token_refresh::{
    Redis, TokenRefresher, TokenSet,
    testing::{ManualClock, StrictIssuer},
    token_store::InSessions,
    tower_sessions,
};

use crate::servers::{self, Folder, redis_cli, url_of};

const LIFE: Duration = Duration::from_secs(120);

/// Scripts so far: each is one round trip.
fn scripts(port: u16) -> usize {
    let stats = redis_cli(port, &["INFO", "commandstats"]);
    let calls =
        |line: &str| line.strip_prefix("cmdstat_eval:calls=")?.split(',').next()?.parse().ok();
    stats.lines().find_map(calls).unwrap_or_default()
}

/// Commands so far, those within scripts included, but for those that ask for this.
fn commands(port: u16) -> usize {
    let stats = redis_cli(port, &["INFO", "commandstats"]);
    let calls = |line: &str| -> Option<usize> {
        let (name, rest) = line.split_once(":calls=")?;
        let is_ours = !["info", "ping", "client", "hello"].iter().any(|own| name.contains(own));
        rest.split(',').next()?.parse().ok().filter(|_| is_ours)
    };
    stats.lines().filter_map(calls).sum()
}

async fn log_in(issuer: &StrictIssuer, process: &TokenRefresher) -> Id {
    let session = Session::new(None, Arc::new(process.session_store()), None);
    let set = TokenSet::from_response(issuer.log_in("alice")).expect("tokens");
    process.log_in(&session, set).await.expect("logged in");
    session.id().expect("saved")
}

async fn ask(process: &TokenRefresher, id: Id, times: usize) -> Vec<String> {
    let requests = (0..times).map(|_| async {
        let session = Session::new(Some(id), Arc::new(process.session_store()), None);
        process.valid_token(&session).await.expect("a token").secret().to_owned()
    });
    join_all(requests).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn a_storm_of_five_hundred_at_two_processes_is_a_handful() {
    let folder = Folder::new();
    let redis = servers::redis(&folder.0, &[]);
    let clock = ManualClock::new();
    let issuer = StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE).build();
    let sessions = MemoryStore::default();
    let mut processes = Vec::new();
    for _ in 0..2 {
        let tokens = Redis::connect(&url_of(&redis)).await.expect("Redis answers").tokens();
        let builder = TokenRefresher::builder(endpoint(&issuer), sessions.clone());
        let builder = builder.token_store(tokens).clock(clock.clock());
        processes.push(builder.build().expect("the settings agree"));
    }
    let id = log_in(&issuer, &processes[0]).await;
    for process in &processes {
        ask(process, id, 1).await;
    }
    // Both hear by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    clock.advance(LIFE);
    let before = (scripts(redis.port), commands(redis.port));

    let (one, other) = tokio::join!(ask(&processes[0], id, 250), ask(&processes[1], id, 250));

    let (trips, all) = (scripts(redis.port) - before.0, commands(redis.port) - before.1);
    assert!(one.iter().chain(&other).all(|token| token == &one[0]));
    assert_eq!(issuer.refresh_requests(), 1);
    println!("a storm of 500 at two processes: {trips} scripts, {all} commands with those in them");
    assert!(trips < 12 && all < 40, "{trips} scripts, {all} commands");
}

/// With tower-sessions' own cache over the sessions, and the token records in the bare store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: see tests/services/run"]
async fn a_good_token_behind_a_session_cache_is_none() {
    let folder = Folder::new();
    let redis = servers::redis(&folder.0, &[]);
    let clock = ManualClock::new();
    let issuer = StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE).build();
    let bare = Redis::connect(&url_of(&redis)).await.expect("Redis answers").sessions();
    let cached = CachingSessionStore::new(MemoryStore::default(), bare.clone());
    let process = TokenRefresher::builder(endpoint(&issuer), cached)
        .token_store(InSessions::new(bare.clone()))
        .clock(clock.clock())
        .build()
        .expect("the settings agree");
    let id = log_in(&issuer, &process).await;
    ask(&process, id, 1).await;
    let before = commands(redis.port);

    ask(&process, id, 100).await;

    assert_eq!(commands(redis.port), before, "no store was asked");
    assert!(bare.load(&id).await.expect("loaded").is_some(), "the session is there");
    clock.advance(Duration::from_secs(31));
    ask(&process, id, 100).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let confirmed = commands(redis.port) - before;
    assert!((1..=2).contains(&confirmed), "the record is read once: {confirmed}");
}
