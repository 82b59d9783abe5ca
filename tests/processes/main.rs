//! Any number of processes on one store that compares and swaps: one refresh token is presented
//! once, whoever asks, dies, sleeps, logs out or is cut off meanwhile.

mod cut_off;
mod deaths;
mod endings;
mod failover;
mod lock;
mod one_post;
mod store_clock;
mod told;

use std::time::Duration;

use support::{LIFE, ScriptedSessions, ScriptedTokens, World, endpoint, variants::session_at};
use tokio::task::JoinHandle;
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    AccessToken, RefreshError, RefreshPolicy, TokenRefresher, TokenRefresherBuilder,
    testing::{FakeLock, ManualClock, MemoryTokens, StrictIssuer},
    tower_sessions,
};

const SECOND: Duration = Duration::from_secs(1);
/// How old a mark may be and still hold everybody else off: request, write and skew.
const DEADLINE: Duration = Duration::from_secs(15 + 10 + 5);

/// Two processes. The world's own is the one; each reaches the store by a way with gates of its
/// own.
struct Pair {
    world: World,
    /// The store itself, past all gates.
    store: MemoryTokens,
    other: TokenRefresher,
    /// The other's way to the store.
    way: ScriptedTokens,
}

impl Pair {
    fn new() -> Self {
        Self::with(LIFE, RefreshPolicy::default())
    }

    /// Access tokens live for `life`.
    fn with(life: Duration, policy: RefreshPolicy) -> Self {
        Self::over(MemoryTokens::new(), life, policy)
    }

    /// The store tells each process what the other one does.
    fn told() -> Self {
        Self::over(MemoryTokens::new().telling(), LIFE, RefreshPolicy::default())
    }

    /// The processes queue at `lock`, for the users that `lock_if` accepts.
    fn locked(lock: &FakeLock, lock_if: fn(&str) -> bool) -> Self {
        Self::configured(MemoryTokens::new(), LIFE, |builder| {
            builder.lock(lock.clone()).lock_if(lock_if)
        })
    }

    fn over(store: MemoryTokens, life: Duration, policy: RefreshPolicy) -> Self {
        Self::configured(store, life, |builder| builder.policy(policy.clone()))
    }

    fn configured(
        store: MemoryTokens,
        life: Duration,
        configure: impl Fn(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer =
            StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(life).build();
        let sessions = ScriptedSessions::new(MemoryStore::default());
        let tokens = ScriptedTokens::new(store.clone());
        let way = tokens.another_way();
        let process = |way: &ScriptedTokens| {
            let builder = TokenRefresher::builder(endpoint(&issuer), sessions.clone())
                .token_store(way.clone())
                .clock(clock.clock());
            configure(builder).build().expect("the settings agree")
        };
        let (refresher, other) = (process(&tokens), process(&way));
        let world = World { issuer, clock, sessions, tokens, refresher, keys: None };
        Self { world, store, other, way }
    }

    /// Both processes have served this user, whose access token is good.
    async fn logged_in(&self) -> Id {
        let id = self.world.log_in("alice").await;
        served(&self.world.refresher, id).await;
        served(&self.other, id).await;
        id
    }

    /// A session at the other process.
    fn session(&self, id: Id) -> Session {
        session_at(&self.other, id)
    }

    fn posts(&self) -> usize {
        self.world.issuer.refresh_requests()
    }

    /// Time passes second by second, and whoever waits for a mark looks at it each time.
    async fn watch(&self, time: Duration) {
        watch(&self.world, time).await;
    }
}

async fn watch(world: &World, time: Duration) {
    for _ in 0..time.as_secs() {
        world.clock.advance(SECOND);
        look_again().await;
    }
}

/// Whoever waits for a mark looks at it once more, by the runtime's timer.
async fn look_again() {
    tokio::time::sleep(SECOND + Duration::from_millis(1)).await;
}

type Answer = Result<AccessToken, RefreshError>;

/// A request at a process, in a task of its own.
fn ask(process: &TokenRefresher, id: Id) -> JoinHandle<Answer> {
    let (process, session) = (process.clone(), session_at(process, id));
    tokio::spawn(async move { process.valid_token(&session).await })
}

/// The token that a request at a process gets.
async fn served(process: &TokenRefresher, id: Id) -> AccessToken {
    process.valid_token(&session_at(process, id)).await.expect("a token")
}

/// The error that a request at a process gets instead of a token.
async fn refused(process: &TokenRefresher, id: Id) -> RefreshError {
    process.valid_token(&session_at(process, id)).await.expect_err("no token")
}
