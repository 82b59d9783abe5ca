//! What is given to whoever asks for a token.

use std::time::{Duration, SystemTime};

use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, TokenRefresher, testing::StrictIssuer,
    token_store::RecordKey, tower_sessions::Session,
};

use super::{Browser, Shared, pointer};
use crate::{CONFIRM_AFTER, LEEWAY, SERVED_FOR, stepped::Way};

/// One request that asks, and all it takes to judge the answer.
struct Ask {
    session: Session,
    refresher: TokenRefresher,
    issuer: StrictIssuer,
    shared: Shared,
    way: Way,
}

/// How things stand when a request asks.
struct Before {
    key: Option<RecordKey>,
    subject: Option<String>,
    at: Duration,
    faults: usize,
    /// Until when this process must serve the token that the store holds.
    good_until: Option<SystemTime>,
}

impl Browser {
    /// A handler asks for a token; `rejected`: an API answers 401 to it, and the handler asks for a
    /// newer one.
    pub fn ask(&mut self, pick: usize, rejected: bool) {
        let (issuer, stage) = (self.issuer.clone(), self.stage.clone());
        self.start(pick, |request, process, shared| {
            let basket = request.session.id().map(|id| stage.basket(id)).unwrap_or_default();
            request.basket.get_or_insert((basket, stage.basket_losses()));
            let ask = Ask {
                session: request.session.clone(),
                refresher: process.refresher.clone(),
                issuer,
                shared,
                way: process.way.clone(),
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
    async fn before(&self) -> Before {
        let key = pointer(&self.session).await;
        let subject = key.and_then(|key| self.way.stage.owner(key));
        let (at, faults) = (self.way.stage.now(), self.way.stage.faults(self.way.life));
        let set = key.and_then(|key| self.way.stage.stored_set(key));
        let good_until = set.map(|set| {
            // One that another process got may be seen for the first time when its refresh is due.
            let is_own = self.way.stage.got_in(&set.refresh, self.way.life);
            if is_own { set.expires_at } else { set.expires_at - LEEWAY }
        });
        Before { key, subject, at, faults, good_until }
    }

    async fn for_valid(&self) -> Option<AccessToken> {
        let before = self.before().await;
        match self.refresher.valid_token(&self.session).await {
            Ok(token) => {
                self.judge(&before, &token);
                Some(token)
            }
            Err(error) => {
                self.judge_error(&before, &error);
                self.judge_refusal(&before, &error);
                None
            }
        }
    }

    async fn for_newer_than(&self, rejected: &AccessToken) {
        let before = self.before().await;
        match self.refresher.newer_token(&self.session, rejected).await {
            Ok(token) => {
                self.judge(&before, &token);
                if token.secret() == rejected.secret() && !token.is_stale() {
                    self.broken("the token that an API had refused was given out again");
                }
            }
            Err(error) => self.judge_error(&before, &error),
        }
    }

    fn judge(&self, before: &Before, token: &AccessToken) {
        let subject = token.subject().expect("the test gave one");
        let (stage, life) = (&self.way.stage, self.way.life);
        let now = self.way.clock.clock().now();
        let lost = stage.has_lost(subject);
        if self.shared.has_ended_in(subject, life) && !stage.may_be_back(subject) {
            self.broken("a token was given out after its log out");
        }
        if let Some(key) = before.key.filter(|_| !(lost && stage.is_torn())) {
            self.judge_ended(before, key);
        }
        if token.is_stale() {
            let served = stage.settings.serve_expired && now < token.expires_at() + SERVED_FOR;
            if !served {
                self.broken("an expired token was served that should not be");
            }
            return;
        }
        if token.expires_at() <= now {
            self.broken("an expired token was given out for a good one");
        }
        let is_live = self.issuer.is_access_token_live(token.secret());
        if !is_live && !lost && self.shared.stands(subject) && !stage.has_jumped() {
            self.broken("a token was given out that the provider does not accept");
        }
        if !stage.may_be_served(token.secret()) {
            self.broken("a token was given out before the store had it");
        }
    }

    /// Another process has ended the login: that is noticed within a time, unless the store is down.
    fn judge_ended(&self, before: &Before, key: RecordKey) {
        let (stage, life) = (&self.way.stage, self.way.life);
        let Some(ending) = stage.ending(key) else {
            return;
        };
        if life >= ending.before_life {
            self.broken("a process that began after the end of a login gave out a token of it");
        }
        if before.at > ending.at + CONFIRM_AFTER && !stage.has_been_unread(life) {
            self.broken("a token was given out long after another process had ended its login");
        }
    }

    fn judge_error(&self, before: &Before, error: &RefreshError) {
        match error.kind() {
            RefreshErrorKind::Internal
            | RefreshErrorKind::Misconfigured
            | RefreshErrorKind::InvalidResponse
            | RefreshErrorKind::SubjectChanged => {
                self.broken(&format!("an ask failed with {error:?}"));
            }
            RefreshErrorKind::NoTokens
            | RefreshErrorKind::SessionExpired
            | RefreshErrorKind::LoggedOut => {
                let Some(subject) = &before.subject else {
                    return;
                };
                if self.shared.stands(subject) && !self.way.stage.has_lost(subject) {
                    self.broken(&format!("{subject} is logged in and got {error:?}"));
                }
            }
            _ => {}
        }
    }

    /// A request is not refused while its token is good, unless a store has failed it.
    fn judge_refusal(&self, before: &Before, error: &RefreshError) {
        let stage = &self.way.stage;
        let is_outage =
            matches!(error.kind(), RefreshErrorKind::Unavailable | RefreshErrorKind::WaitTimeout);
        let Some(subject) = &before.subject else {
            return;
        };
        let has_failed = stage.faults(self.way.life) > before.faults;
        if !is_outage || has_failed || stage.has_jumped() || !self.shared.stands(subject) {
            return;
        }
        let now = self.way.clock.clock().now();
        if before.good_until.is_some_and(|end| now < end) {
            self.broken(&format!("a request was refused although its token is good: {error:?}"));
        }
    }

    fn broken(&self, promise: &str) {
        self.way.stage.note_broken(promise);
    }
}
