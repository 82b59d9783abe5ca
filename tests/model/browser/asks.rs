//! What is given to whoever asks for a token.

use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, TokenRefresher, testing::StrictIssuer,
    tower_sessions::Session,
};

use super::{Browser, SERVED_FOR, Settings, Shared, shown};
use crate::stepped::{Set, Stage};

/// One request that asks, and all it takes to judge the answer.
struct Ask {
    session: Session,
    refresher: TokenRefresher,
    issuer: StrictIssuer,
    shared: Shared,
    stage: Stage,
    settings: Settings,
}

impl Browser {
    /// A handler asks for a token; `rejected`: an API answers 401 to it, and the handler asks for a newer one.
    pub fn ask(&mut self, pick: usize, rejected: bool) {
        let (refresher, issuer, settings) =
            (self.refresher.clone(), self.issuer.clone(), self.settings);
        self.start(pick, |request, shared, stage| {
            let ask = Ask {
                session: request.session.clone(),
                refresher,
                issuer,
                shared,
                stage,
                settings,
            };
            async move {
                let token = ask.for_valid().await;
                if let Some(token) = token.filter(|_| rejected) {
                    ask.for_newer_than(&token).await;
                }
            }
        });
    }
}

impl Ask {
    async fn for_valid(&self) -> Option<AccessToken> {
        let shown = shown(&self.session).await;
        match self.refresher.valid_token(&self.session).await {
            Ok(token) => {
                self.judge(&token);
                Some(token)
            }
            Err(error) => {
                self.judge_error(&error);
                let is_outage = matches!(
                    error.kind(),
                    RefreshErrorKind::Unavailable | RefreshErrorKind::WaitTimeout
                );
                let stands = |set: &Set| {
                    let known = self.shared.known();
                    !known.jumped
                        && known.logins.get(&set.subject).is_some_and(|login| !login.excused)
                };
                let good = |set: &Set| self.stage.clock.clock().now() < set.expires_at;
                if is_outage && shown.is_some_and(|set| good(&set) && stands(&set)) {
                    self.stage
                        .note_broken("a request was refused although its token is good".into());
                }
                None
            }
        }
    }

    async fn for_newer_than(&self, rejected: &AccessToken) {
        match self.refresher.newer_token(&self.session, rejected).await {
            Ok(token) => {
                self.judge(&token);
                if token.secret() == rejected.secret() && !token.is_stale() {
                    self.stage.note_broken(
                        "the token that an API had refused was given out again".into(),
                    );
                }
            }
            Err(error) => self.judge_error(&error),
        }
    }

    fn judge(&self, token: &AccessToken) {
        let subject = token.subject().expect("the test gave one");
        let now = self.stage.clock.clock().now();
        if self.shared.is_logged_out(subject) {
            self.stage.note_broken("a token was given out after its log out".into());
        }
        if token.is_stale() {
            let served = self.settings.serve_expired && now < token.expires_at() + SERVED_FOR;
            if !served {
                self.stage.note_broken("an expired token was served that should not be".into());
            }
            return;
        }
        if token.expires_at() <= now {
            self.stage.note_broken("an expired token was given out for a good one".into());
        }
        let (ended, moved) = self.shared.ended_or_moved(subject);
        let ended = ended || self.stage.has_lost(subject);
        if !ended
            && !self.shared.known().jumped
            && !self.issuer.is_access_token_live(token.secret())
        {
            self.stage
                .note_broken("a token was given out that the provider does not accept".into());
        }
        let unwritten = self.stage.refused_ever() || self.stage.was_slow();
        if !ended && !moved && !unwritten && !self.stage.was_stored(token.secret()) {
            self.stage.note_broken("a token was given out before the store had it".into());
        }
    }

    fn judge_error(&self, error: &RefreshError) {
        if let RefreshErrorKind::Internal
        | RefreshErrorKind::Misconfigured
        | RefreshErrorKind::InvalidResponse = error.kind()
        {
            self.stage.note_broken(format!("an ask failed with {error:?}"));
        }
    }
}
