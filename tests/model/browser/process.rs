//! The application's process: its beginning, its end, and the next one.

use std::{sync::Arc, time::Duration};

use tower_token_refresh::{
    ClientAuth, OnUnavailable, RefreshPolicy, TokenEndpoint, TokenRefresher,
    testing::StrictIssuer,
    tower_sessions::{MemoryStore, Session},
};

use super::{Browser, LIFE, SERVED_FOR, Settings};
use crate::{run_all_that_can_run, stepped::Stage};

pub(super) fn start(
    stage: &Stage,
    issuer: &StrictIssuer,
    index: &MemoryStore,
    settings: Settings,
) -> TokenRefresher {
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .jwks_url(issuer.jwks_url())
        .revocation_url(issuer.revocation_url())
        .transport(stage.transport(issuer));
    let on_unavailable = if settings.serve_expired {
        OnUnavailable::ServeExpired { for_at_most: SERVED_FOR }
    } else {
        OnUnavailable::Refuse
    };
    let policy = RefreshPolicy::default().on_unavailable(on_unavailable).replay(settings.replay);
    let builder = TokenRefresher::builder(endpoint, stage.clone())
        .policy(policy)
        .back_channel_logout(index.clone(), [7; 32])
        .clock(stage.clock.clock());
    builder.build().expect("the settings agree")
}

impl Browser {
    /// The process ends as it should, whatever is under way, and another takes its place. What has not been done when it says that
    /// everything is done never will be.
    pub async fn restart(&mut self) {
        while self.requests() > 0 {
            self.drop_request(0);
        }
        self.stage.let_everything_pass(true);
        // What requests that went away have begun in the store goes through; a refresh takes its time.
        run_all_that_can_run().await;
        // A store that refuses keeps nothing from ending.
        let ended = self.refresher.shutdown(Duration::from_secs(120)).await;
        assert_eq!(ended, Ok(()));
        self.stage.note_shut_down();
        self.pass(LIFE);
        // The stage notes a refresh that begins now.
        let late = Session::new(self.cookie(), Arc::new(self.refresher.session_store()), None);
        let _ = self.refresher.valid_token(&late).await;
        run_all_that_can_run().await;
        self.note_unburied();
        self.stage = self.stage.next_process();
        self.stage.let_everything_pass(false);
        self.refresher = start(&self.stage, &self.issuer, &self.index, self.settings);
    }

    /// A tombstone that the store has refused is tried again by this process only.
    fn note_unburied(&self) {
        for (subject, login) in &mut self.shared.known().logins {
            let stands = !login.excused && self.issuer.session_alive(&login.first_access_token);
            let unburied = self.stage.live(subject).len() > usize::from(stands);
            login.unburied |= unburied && self.stage.refused_ever();
        }
    }
}
