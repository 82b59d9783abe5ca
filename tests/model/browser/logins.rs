//! How logins begin and end.

use serde_json::{Value, json};
use support::KEY;
use tower_token_refresh::{Logout, TokenSet, testing::ManualClock};

use super::{Browser, Login, Told, pointer};
use crate::stepped::{USER, pointer_of};

impl Browser {
    pub fn log_in(&mut self, pick: usize) {
        let issuer = self.issuer.clone();
        self.start(pick, |request, process, shared| {
            request.touched = true;
            let (way, refresher) = (process.way.clone(), process.refresher.clone());
            let session = request.session.clone();
            async move {
                // Here, as no time passes until the process has it.
                let user = format!("user-{}", shared.known().logins.len());
                let answer = issuer.log_in(&user);
                let first_access_token =
                    answer["access_token"].as_str().expect("a token").to_owned();
                let login = Login { first_access_token, ..Login::default() };
                shared.known().logins.insert(user.clone(), login);
                let set = TokenSet::from_response(answer).expect("a token set").with_subject(&user);
                // A session that cannot be read now may be read in a moment.
                let Ok(before) = session.get_value(KEY).await else {
                    return;
                };
                let previous = before.as_ref().and_then(pointer_of);
                let previous = previous.and_then(|key| way.stage.owner(key));
                if let Some(previous) = &previous {
                    shared.change(previous, |login| login.excused = true);
                }
                // What the application itself remembers of a login, as axum-login does.
                let _ = session.insert(USER, &user).await;
                let reported = refresher.log_in(&session, set).await;
                shared.change(&user, |login| {
                    login.reported = Some(reported.is_ok());
                    login.excused |= reported.is_err();
                    if reported.is_err() {
                        login.ended_in.push(way.life);
                    }
                });
                if let (Ok(()), Some(previous)) = (reported, previous) {
                    shared.change(&previous, |login| login.ended_in.push(way.life));
                }
            }
        });
    }

    pub fn log_out(&mut self, pick: usize, how: Logout) {
        self.start(pick, |request, process, shared| {
            request.touched = true;
            let (way, refresher) = (process.way.clone(), process.refresher.clone());
            let session = request.session.clone();
            async move {
                let key = pointer(&session).await;
                let Some(subject) = key.and_then(|key| way.stage.owner(key)) else {
                    return;
                };
                shared.change(&subject, |login| {
                    login.excused = true;
                    login.log_out_begun = Some(way.life);
                });
                let id = session.id();
                let ended = refresher.log_out(&session, how).await;
                shared.change(&subject, |login| login.ended_in.push(way.life));
                let left = id.filter(|id| how == Logout::EndSession && way.stage.has_session(*id));
                let brought_back = way.stage.has_resurrected() || way.stage.scene().processes() > 1;
                if ended.is_ok() && left.is_some() && !brought_back {
                    way.stage.note_broken("log out left the session behind");
                }
            }
        });
    }

    /// The provider ends a login and says so to one of the processes by a logout token.
    pub fn end_by_provider(&mut self, pick: usize) {
        let known = self.shared.known();
        let made = known.logins.iter().filter(|(_, login)| login.reported == Some(true));
        let made: Vec<_> = made.map(|(user, _)| user.clone()).collect();
        drop(known);
        let Some(user) = made.get(pick % made.len().max(1)).cloned() else {
            return;
        };
        let picked = pick % self.processes.len();
        let process = &self.processes[picked];
        self.shared.change(&user, |login| login.excused = true);
        self.issuer.end_session(&user);
        let mut claims = self.issuer.logout_claims(Some(&user), None);
        claims["sub"] = Value::from(user.as_str());
        // By the clock that reads it: a token from the future is refused.
        claims["iat"] = Value::from(unix_seconds(&process.clock));
        let token = self.issuer.sign_jwt(json!({}), &claims);
        let (refresher, life) = (process.refresher.clone(), process.way.life);
        let shared = self.shared.clone();
        let running = process.runtime.spawn(async move {
            if refresher.end_by_logout_token(&token).await.is_ok() {
                shared.change(&user, |login| login.ended_in.push(life));
            }
        });
        self.told.push(Told { process: picked, running });
    }
}

fn unix_seconds(clock: &ManualClock) -> u64 {
    clock.clock().now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}
