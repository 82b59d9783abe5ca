//! Ten users at two processes, and what a fault costs them.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use support::endpoint;
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    ProviderLimits, RefreshErrorKind, RefreshPolicy, TokenRefresher, TokenSet,
    testing::StrictIssuer, token_store::TokenStore, tower_sessions,
};

use crate::servers::now;

const USERS: usize = 10;
/// How long access tokens live.
const LIFE: Duration = Duration::from_secs(3);
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

pub struct Scene {
    issuer: StrictIssuer,
    processes: Vec<TokenRefresher>,
    users: Vec<Id>,
}

/// What happened to the requests of a while.
#[derive(Debug, Default)]
pub struct Tally {
    served: usize,
    /// By kind of error.
    failed: HashMap<RefreshErrorKind, usize>,
    /// The last time that a request failed.
    last_failure: Option<Duration>,
    /// Users who have to log in again.
    pub lost: Vec<usize>,
}

impl Scene {
    /// Each token store is a process.
    pub async fn of(stores: Vec<impl TokenStore>) -> Self {
        let issuer = StrictIssuer::builder().access_token_lifetime(LIFE).build();
        let sessions = MemoryStore::default();
        let policy = RefreshPolicy::default()
            .store_timeout(Duration::from_secs(2))
            .wait_timeout(Duration::from_secs(5))
            .confirm_after(Duration::from_secs(2));
        let processes = stores.into_iter().map(|store| {
            let endpoint = endpoint(&issuer)
                .limits(ProviderLimits::default())
                .request_timeout(Duration::from_secs(2));
            TokenRefresher::builder(endpoint, sessions.clone())
                .token_store(store)
                .policy(policy.clone())
                .build()
                .expect("the settings agree")
        });
        let processes = processes.collect();
        let mut scene = Self { issuer, processes, users: Vec::new() };
        for nth in 0..USERS {
            let id = scene.log_in(nth).await;
            scene.users.push(id);
        }
        scene
    }

    async fn log_in(&self, nth: usize) -> Id {
        let process = &self.processes[0];
        let session = Session::new(None, std::sync::Arc::new(process.session_store()), None);
        let set =
            TokenSet::from_response(self.issuer.log_in(&format!("user-{nth}"))).expect("tokens");
        process.log_in(&session, set).await.expect("logged in");
        session.id().expect("saved")
    }

    /// One more user logs in: the stores take writes.
    pub async fn can_log_in(&self) -> bool {
        let process = &self.processes[0];
        let session = Session::new(None, std::sync::Arc::new(process.session_store()), None);
        let set = TokenSet::from_response(self.issuer.log_in("late")).expect("tokens");
        process.log_in(&session, set).await.is_ok()
    }

    /// Every user asks at every process.
    async fn round(&self, tally: &mut Tally) {
        let requests = self.users.iter().enumerate().flat_map(|(nth, id)| {
            self.processes.iter().map(move |process| async move {
                let store = std::sync::Arc::new(process.session_store());
                let session = Session::new(Some(*id), store, None);
                (nth, process.valid_token(&session).await)
            })
        });
        for (nth, answer) in join_all(requests).await {
            match answer {
                Ok(_token) => tally.served += 1,
                Err(error) => {
                    *tally.failed.entry(error.kind()).or_default() += 1;
                    tally.last_failure = Some(now());
                    if error.kind().status() == 401 && !tally.lost.contains(&nth) {
                        tally.lost.push(nth);
                    }
                }
            }
        }
    }

    /// While `fault` happens, and until all is well again: two expiries in a row without a failure.
    /// Prints a line of the table.
    pub async fn suffer(&self, what: &str, fault: impl Future<Output = ()>) -> Tally {
        let posts = self.issuer.refresh_requests();
        let mut tally = Tally::default();
        tokio::pin!(fault);
        let over = loop {
            tokio::select! {
                biased;
                () = &mut fault => break now(),
                () = self.round(&mut tally) => tokio::time::sleep(BETWEEN_ROUNDS).await,
            }
        };
        let patience = over + Duration::from_secs(60);
        loop {
            self.round(&mut tally).await;
            tokio::time::sleep(BETWEEN_ROUNDS).await;
            let quiet_since = tally.last_failure.unwrap_or(over).max(over);
            if now() - quiet_since > LIFE * 2 {
                break;
            }
            let all_lost = tally.lost.len() == USERS;
            assert!(now() < patience || all_lost, "{what}: no recovery: {tally:?}");
            if all_lost && now() - over > LIFE * 2 {
                break;
            }
        }
        let recovery = tally.last_failure.map_or(Duration::ZERO, |last| last.saturating_sub(over));
        println!(
            "| {what} | {} token requests | {} served | {} failed {:?} | {} users lost | {:.1} s to recovery |",
            self.issuer.refresh_requests() - posts,
            tally.served,
            tally.failed.values().sum::<usize>(),
            tally.failed,
            tally.lost.len(),
            recovery.as_secs_f64(),
        );
        tally
    }
}

impl Tally {
    /// Nobody was lost, and nobody got an answer that no store or provider is the reason of.
    pub fn assert_nobody_lost(&self) {
        assert!(self.lost.is_empty(), "{self:?}");
        let expected = [RefreshErrorKind::Unavailable, RefreshErrorKind::WaitTimeout];
        assert!(self.failed.keys().all(|kind| expected.contains(kind)), "{self:?}");
    }
}
