//! A store with a clock of its own: ages of marks are judged by it, and a process whose clock is
//! wrong is told.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use http::{Request, header};
use support::{
    LIFE, ScriptedSessions, ScriptedTokens, World, endpoint, http::ask as send, log::Log,
    races::Station, settle, stores,
};
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    RefreshPolicy, TokenRefresher, TokenSet,
    testing::{Endpoint, ManualClock, MemoryTokens, StrictIssuer},
    token_store::{RecordState, SqliteTokens},
    tower_sessions,
};

use super::{DEADLINE, SECOND, ask, look_again, served};

const HOUR: i64 = 3600;

/// A world whose store has a clock, and all clocks that there are.
struct Clocks {
    world: World,
    store: ManualClock,
    others: ManualClock,
    other: TokenRefresher,
}

impl Clocks {
    /// The other process's wall clock is `ahead` of all the others by so many seconds.
    fn new(ahead: i64) -> Self {
        let (store, others) = (ManualClock::new(), ManualClock::new());
        let tokens = ScriptedTokens::new(MemoryTokens::new().with_clock(store.clock()));
        let world =
            World::over(ScriptedSessions::new(MemoryStore::default()), tokens, |builder| builder);
        others.jump_wall(ahead);
        let policy = RefreshPolicy::default().wait_timeout(Duration::from_secs(600));
        let other = world.restarted_with(|builder| builder.clock(others.clock()).policy(policy));
        Self { world, store, others, other }
    }

    /// Time passes everywhere.
    fn advance(&self, by: Duration) {
        for clock in [&self.world.clock, &self.store, &self.others] {
            clock.advance(by);
        }
    }

    async fn watch(&self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.advance(SECOND);
            look_again().await;
        }
    }

    async fn marked_since(&self, id: Id) -> SystemTime {
        let grant = self.world.pointer(id).await.expect("logged in");
        let key = support::tokens::key_of(&grant);
        let record = self.world.tokens.peek(key).await.expect("a record");
        let RecordState::Presenting { since } = record.state() else { panic!("{record:?}") };
        since
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_clock_is_an_hour_ahead_takes_no_young_mark_for_old() {
    let clocks = Clocks::new(HOUR);
    let id = clocks.world.log_in("alice").await;
    clocks.advance(LIFE);
    let session = clocks.world.request(id).await;
    let flight = clocks.world.flight_of(Station::BeforePost, session).await;
    let waiting = ask(&clocks.other, id);
    look_again().await;
    clocks.watch(DEADLINE - SECOND).await;
    assert!(!waiting.is_finished());
    assert_eq!(clocks.world.issuer.refresh_requests(), 0);
    drop(flight);
}

#[tokio::test(start_paused = true)]
async fn marks_are_dated_by_the_stores_clock() {
    for ahead in [HOUR, -HOUR] {
        let clocks = Clocks::new(ahead);
        let id = clocks.world.log_in("alice").await;
        clocks.advance(LIFE);
        clocks.others.advance(Duration::from_secs(2 * HOUR.unsigned_abs()));
        let post = clocks.world.issuer.gate_before(Endpoint::Token);
        let _asked = ask(&clocks.other, id);
        post.reached().await;
        assert_eq!(clocks.marked_since(id).await, clocks.store.clock().now(), "{ahead} s ahead");
    }
}

#[tokio::test]
async fn clocks_that_differ_by_more_than_five_seconds_are_a_warning_once() {
    for (ahead, expected) in [(0, 0), (5, 0), (-5, 0), (6, 1), (-6, 1), (HOUR, 1), (-HOUR, 1)] {
        let clocks = Clocks::new(ahead);
        let id = clocks.world.log_in("alice").await;
        let log = Log::of_this_thread();
        for _ in 0..3 {
            let _answer = ask(&clocks.other, id).await.expect("no panic");
            settle().await;
            clocks.world.log_in("bob").await;
        }
        let warnings: Vec<_> = log
            .lines_at("WARN")
            .into_iter()
            .filter(|line| line.contains("clocks of this process and of the token store differ"))
            .collect();
        assert_eq!(warnings.len(), expected, "{ahead} s ahead: {warnings:#?}");
    }
}

/// Each of them reads the life of the other one's tokens by the store's clock.
#[tokio::test]
async fn a_process_whose_clock_is_wrong_serves_and_refreshes_as_the_others_do() {
    for ahead in [600, -600, HOUR, -HOUR] {
        let clocks = Clocks::new(ahead);
        let id = clocks.world.log_in("alice").await;
        let processes = [&clocks.other, &clocks.world.refresher];
        for (refreshes, process) in processes.into_iter().cycle().take(6).enumerate() {
            clocks.advance(LIFE);
            for asked in [process, processes[0], processes[1]] {
                let token = served(asked, id).await;
                assert!(clocks.world.issuer.is_access_token_live(token.secret()), "{ahead}");
            }
            assert_eq!(clocks.world.issuer.refresh_requests(), refreshes + 1, "{ahead}");
        }
    }
}

/// The first thing that a process does is a log in.
#[tokio::test]
async fn a_log_in_at_a_process_whose_clock_is_wrong_is_read_rightly_elsewhere() {
    for ahead in [600, -600] {
        let clocks = Clocks::new(ahead);
        let session = Session::new(None, Arc::new(clocks.other.session_store()), None);
        let tokens = clocks.world.token_set("alice");
        clocks.other.log_in(&session, tokens).await.expect("logged in");
        let id = session.id().expect("saved");
        served(&clocks.world.refresher, id).await;
        assert_eq!(clocks.world.issuer.refresh_requests(), 0, "{ahead}: it is good");
        clocks.advance(LIFE);
        served(&clocks.world.refresher, id).await;
        assert_eq!(clocks.world.issuer.refresh_requests(), 1, "{ahead}: it has expired");
    }
}

/// The store's clock says how old a mark is, never whether a provider's token is good.
#[tokio::test]
async fn a_store_whose_clock_is_wrong_expires_no_token() {
    for ahead in [HOUR, -HOUR] {
        let clocks = Clocks::new(0);
        clocks.store.jump_wall(ahead);
        let id = clocks.world.log_in("alice").await;
        let restarted = clocks.world.restarted();
        let token = served(&restarted, id).await;
        assert!(clocks.world.issuer.is_access_token_live(token.secret()));
        assert_eq!(clocks.world.issuer.refresh_requests(), 0);

        clocks.advance(LIFE);
        served(&restarted, id).await;
        assert_eq!(clocks.world.issuer.refresh_requests(), 1);
        clocks.world.assert_logged_in(id).await;
    }
}

/// SQLite drops what is too old by its own clock, which is ten minutes ahead of everybody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_token_counts_once_though_the_stores_clock_is_ahead() {
    let clock = ManualClock::new();
    let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (real, manual) =
        (since_1970(tower_token_refresh::Clock::system().now()), since_1970(clock.clock().now()));
    let difference =
        i64::try_from(real.as_secs()).unwrap() - i64::try_from(manual.as_secs()).unwrap();
    clock.jump_wall(difference - 600);
    let issuer = StrictIssuer::builder().clock(clock.clock()).build();
    let (sessions, pool) = (MemoryStore::default(), stores::sqlite_file().await);
    SqliteTokens::new(pool.clone()).migrate().await.expect("the tables are created");
    let process = || {
        let endpoint = endpoint(&issuer).jwks_url(issuer.jwks_url());
        TokenRefresher::builder(endpoint, sessions.clone())
            .token_store(SqliteTokens::new(pool.clone()))
            .clock(clock.clock())
            .back_channel_logout([7; 32])
            .build()
            .expect("the settings agree")
    };
    let log_in = async |process: &TokenRefresher| {
        let session = Session::new(None, Arc::new(process.session_store()), None);
        let tokens = TokenSet::from_response(issuer.log_in("alice")).expect("tokens");
        process.log_in(&session, tokens).await.expect("logged in");
        session.id().expect("saved")
    };
    let tell = async |process: &TokenRefresher, token: &str| {
        let app = Router::new().route("/ended", process.back_channel_logout().expect("turned on"));
        let request = Request::post("/ended")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let body = Body::from(format!("logout_token={token}"));
        send(&app, request.body(body).expect("a request")).await.status.as_u16()
    };
    let (first, second) = (process(), process());
    log_in(&first).await;
    let token = issuer.logout_token(Some("alice"), None);
    assert_eq!(tell(&first, &token).await, 200);

    clock.advance(2 * SECOND);
    let again = log_in(&second).await;
    assert_eq!(tell(&second, &token).await, 400, "it was carried out before");
    served(&second, again).await;
}
