//! The application's processes: their beginning, their end, and the next ones.

use std::{cell::Cell, time::Duration};

use tokio::{runtime::Runtime, task::JoinHandle};
use tower_token_refresh::{
    ClientAuth, OnUnavailable, RefreshPolicy, TokenEndpoint, TokenRefresher,
    testing::{ManualClock, StrictIssuer},
};

use super::Browser;
use crate::{
    CONFIRM_AFTER, LIFE, REQUEST_TIMEOUT, SERVED_FOR, STORE_TIMEOUT, WAIT,
    stepped::{Stage, Way},
};

pub(super) struct Process {
    pub(super) way: Way,
    pub(super) refresher: TokenRefresher,
    pub(super) clock: ManualClock,
    /// Its tasks and timers: what is not run stands still.
    pub(super) runtime: Runtime,
    /// What its timers have missed so far.
    pub(super) missed: Cell<Duration>,
}

impl Process {
    pub(super) fn start(stage: &Stage, issuer: &StrictIssuer, process: usize) -> Self {
        let clock = ManualClock::new();
        clock.advance(stage.now());
        let way = stage.begin_life(process, clock.clone());
        let refresher = refresher(&way, issuer);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        Self { way, refresher, clock, runtime, missed: Cell::default() }
    }

    /// One thread, and each turn runs whatever is ready: every task gets as far as it can.
    pub(super) fn run(&self) {
        self.runtime.block_on(tokio::task::yield_now());
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
    let builder = TokenRefresher::builder(endpoint, way.clone());
    let builder = if settings.lock { builder.lock(way.lock()) } else { builder };
    builder
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
    pub fn restart(&mut self, pick: usize) {
        self.thaw(true);
        let process = pick % self.processes.len();
        self.drop_requests_of(process);
        self.run_all_that_can_run();
        let life = self.processes[process].way.life;
        let refresher = self.processes[process].refresher.clone();
        let ending = self.processes[process]
            .runtime
            .spawn(async move { refresher.shutdown(Duration::from_secs(120)).await });
        self.let_go_on(life, &ending);
        // A store that refuses keeps nothing from ending, but is told of.
        let lacking = self.stage.lacking_of(life);
        match self.processes[process].runtime.block_on(ending).expect("no panic") {
            Ok(()) => assert_eq!(lacking, None, "shut down as if the store had everything"),
            Err(error) => assert!(self.stage.faults(life) > 0, "{error}"),
        }
        self.stage.note_shut_down(life);
        self.pass(LIFE);
        // The stage notes a refresh that begins now.
        let (refresher, cookie) =
            (self.processes[process].refresher.clone(), self.shared.known().cookie);
        let late = self.session(process, cookie);
        let late = self.processes[process].runtime.spawn(async move {
            let _ = refresher.valid_token(&late).await;
        });
        self.let_go_on(life, &late);
        self.stage.end_life(life);
        self.begin(process);
    }

    fn let_go_on<T>(&self, life: usize, until: &JoinHandle<T>) {
        for _ in 0..1_000 {
            self.run_all_that_can_run();
            if until.is_finished() {
                return;
            }
            if !self.stage.release_all_of(life) {
                self.advance(Duration::from_millis(200));
            }
        }
        panic!("no end: {:?}", self.stage);
    }

    fn begin(&mut self, process: usize) {
        let next = Process::start(&self.stage, &self.issuer, process);
        self.ended.push(std::mem::replace(&mut self.processes[process], next));
        self.told.retain(|told| told.process != process);
    }

    fn drop_requests_of(&mut self, process: usize) {
        while let Some(index) = self.requests.iter().position(|it| it.process == process) {
            self.drop_request(index);
        }
    }
}
