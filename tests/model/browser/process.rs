//! The application's processes: their beginning, their end, and the next ones.

use std::time::Duration;

use tokio::task::JoinHandle;
use tower_token_refresh::{
    ClientAuth, OnUnavailable, RefreshPolicy, TokenEndpoint, TokenRefresher,
    testing::{ManualClock, StrictIssuer},
};

use super::Browser;
use crate::{
    CONFIRM_AFTER, LIFE, REQUEST_TIMEOUT, SERVED_FOR, STORE_TIMEOUT, WAIT, run_all_that_can_run,
    stepped::{Stage, Way},
};

pub(super) struct Process {
    pub(super) way: Way,
    pub(super) refresher: TokenRefresher,
    pub(super) clock: ManualClock,
}

impl Process {
    pub(super) fn start(stage: &Stage, issuer: &StrictIssuer, process: usize) -> Self {
        let clock = ManualClock::new();
        clock.advance(stage.now());
        let way = stage.begin_life(process, clock.clone());
        let refresher = refresher(&way, issuer);
        Self { way, refresher, clock }
    }
}

fn refresher(way: &Way, issuer: &StrictIssuer) -> TokenRefresher {
    let settings = way.stage.settings;
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .jwks_url(issuer.jwks_url())
        .revocation_url(issuer.revocation_url())
        .request_timeout(REQUEST_TIMEOUT)
        .connect_timeout(REQUEST_TIMEOUT)
        .transport(way.transport(issuer));
    let on_unavailable = if settings.serve_expired {
        OnUnavailable::ServeExpired { for_at_most: SERVED_FOR }
    } else {
        OnUnavailable::Refuse
    };
    let policy = RefreshPolicy::default()
        .on_unavailable(on_unavailable)
        .replay(settings.replay)
        .store_timeout(STORE_TIMEOUT)
        .wait_timeout(WAIT)
        .confirm_after(CONFIRM_AFTER);
    TokenRefresher::builder(endpoint, way.clone())
        .token_store(way.token_store())
        .policy(policy)
        .back_channel_logout([7; 32])
        .cache_bytes(settings.cache_bytes)
        .clock(way.clock.clock())
        .build()
        .expect("the settings agree")
}

impl Browser {
    /// A process dies, whatever is under way, and another takes its place.
    pub fn crash(&mut self, pick: usize) {
        let process = pick % self.processes.len();
        self.drop_requests_of(process);
        self.stage.end_life(self.processes[process].way.life);
        self.begin(process);
    }

    /// A process ends as it should, whatever is under way, and another takes its place. What has not
    /// been done when it says that everything is done never will be.
    pub async fn restart(&mut self, pick: usize) {
        let process = pick % self.processes.len();
        self.drop_requests_of(process);
        run_all_that_can_run().await;
        let life = self.processes[process].way.life;
        let refresher = self.processes[process].refresher.clone();
        let ending =
            tokio::spawn(async move { refresher.shutdown(Duration::from_secs(120)).await });
        self.let_go_on(life, &ending).await;
        // A store that refuses keeps nothing from ending, but is told of.
        let lacking = self.stage.lacking_of(life);
        match ending.await.expect("no panic") {
            Ok(()) => assert_eq!(lacking, None, "shut down as if the store had everything"),
            Err(error) => assert!(self.stage.faults(life) > 0, "{error}"),
        }
        self.stage.note_shut_down(life);
        self.pass(LIFE);
        // The stage notes a refresh that begins now.
        let (refresher, cookie) =
            (self.processes[process].refresher.clone(), self.shared.known().cookie);
        let late = self.session(process, cookie);
        let late = tokio::spawn(async move {
            let _ = refresher.valid_token(&late).await;
        });
        self.let_go_on(life, &late).await;
        self.stage.end_life(life);
        self.begin(process);
    }

    async fn let_go_on<T>(&self, life: usize, until: &JoinHandle<T>) {
        for _ in 0..1_000 {
            run_all_that_can_run().await;
            if until.is_finished() {
                return;
            }
            if !self.stage.release_all_of(life) {
                self.advance(Duration::from_millis(200)).await;
            }
        }
        panic!("no end: {:?}", self.stage);
    }

    fn begin(&mut self, process: usize) {
        self.processes[process] = Process::start(&self.stage, &self.issuer, process);
    }

    fn drop_requests_of(&mut self, process: usize) {
        while let Some(index) = self.requests.iter().position(|it| it.process == process) {
            self.drop_request(index);
        }
    }
}
