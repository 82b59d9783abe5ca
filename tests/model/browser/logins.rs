//! How logins begin and end.

use serde_json::{Value, json};
use tower_token_refresh::{Logout, TokenSet, testing::ManualClock};

use super::{Browser, Login, subject};
use crate::stepped::USER;

impl Browser {
    pub fn log_in(&mut self, pick: usize) {
        let (refresher, issuer) = (self.refresher.clone(), self.issuer.clone());
        self.start(pick, |request, shared, _| {
            request.cycled = true;
            let user = {
                let mut known = shared.known();
                known.moved = true;
                format!("user-{}", known.logins.len())
            };
            let answer = issuer.log_in(&user);
            let first_access_token = answer["access_token"].as_str().expect("a token").to_owned();
            shared
                .known()
                .logins
                .insert(user.clone(), Login { first_access_token, ..Login::default() });
            let set = TokenSet::from_response(answer).expect("a token set").with_subject(&user);
            let (session, saw) = (request.session.clone(), request.saw.clone());
            async move {
                if let Some(previous) = subject(&session).await {
                    shared.excuse(&previous);
                    // A request beside this one may take the rest of the session to a new id, where no login names it any more.
                    shared.keep(&previous);
                }
                *saw.lock().expect("not poisoned") = Some(user.clone());
                // What the application itself remembers of a login, as axum-login does.
                let _ = session.insert(USER, &user).await;
                let reported = refresher.log_in(&session, set).await;
                if let Some(login) = shared.known().logins.get_mut(&user) {
                    login.reported = reported.is_ok();
                    login.excused |= reported.is_err();
                }
            }
        });
    }

    pub fn log_out(&mut self, pick: usize, how: Logout) {
        let refresher = self.refresher.clone();
        self.start(pick, |request, shared, stage| {
            request.cycled = true;
            shared.known().moved = true;
            let session = request.session.clone();
            async move {
                let Some(subject) = subject(&session).await else { return };
                let stood = shared.excuse(&subject);
                if how == Logout::KeepSession {
                    shared.keep(&subject);
                }
                let id = session.id();
                let ended = refresher.log_out(&session, how).await;
                // What the store refused is done as soon as it allows.
                if let Some(login) = shared.known().logins.get_mut(&subject) {
                    login.logged_out = true;
                    login.deleted |= stood && how == Logout::EndSession;
                }
                let left = id.filter(|id| how == Logout::EndSession && stage.has_record(*id));
                if let (Ok(_), Some(id)) = (ended, left) {
                    stage.note_broken(format!("log out left a record behind: {}", id.0 != 0));
                }
            }
        });
    }

    /// The application takes everything out of the session: that ends the login this request saw.
    pub fn clear(&mut self, pick: usize) {
        self.start(pick, |request, shared, _| {
            let (session, saw) = (request.session.clone(), request.saw.clone());
            async move {
                if let Some(subject) = saw.lock().expect("not poisoned").clone() {
                    shared.excuse(&subject);
                }
                session.clear().await;
            }
        });
    }

    /// The provider ends a login and says so by a logout token.
    pub fn end_by_provider(&mut self, pick: usize) {
        let known = self.shared.known();
        let reported: Vec<_> = known.logins.iter().filter(|(_, login)| login.reported).collect();
        let Some((user, _)) = reported.get(pick % reported.len().max(1)) else { return };
        let user = (*user).clone();
        drop(known);
        self.shared.known().moved = true;
        let stood = self.shared.excuse(&user);
        self.issuer.end_session(&user);
        let mut claims = self.issuer.logout_claims(Some(&user), None);
        claims["sub"] = Value::from(user.as_str());
        // By the clock that reads it: a token from the future is refused.
        claims["iat"] = Value::from(unix_seconds(&self.stage.clock));
        let token = self.issuer.sign_jwt(json!({}), &claims);
        let (refresher, shared) = (self.refresher.clone(), self.shared.clone());
        self.told.push(tokio::spawn(async move {
            if refresher.end_by_logout_token(&token).await.is_ok()
                && let Some(login) = shared.known().logins.get_mut(&user)
            {
                login.logged_out = true;
                login.deleted |= stood;
            }
        }));
    }

    /// Something that is not ours takes the tokens out of the browser's record. Not while we are writing: a plain store cannot be
    /// compared and written in one step across processes.
    pub fn wipe(&mut self) {
        if self.stage.parked() > 0 {
            return;
        }
        let mut known = self.shared.known();
        known.moved = true;
        if let Some(id) = known.cookie {
            for login in known.logins.values_mut() {
                (login.excused, login.wiped) = (true, true);
            }
            self.stage.wipe(id);
        }
    }
}

fn unix_seconds(clock: &ManualClock) -> u64 {
    clock.clock().now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}
