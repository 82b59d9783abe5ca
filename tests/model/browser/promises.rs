//! What must hold.

use super::{Browser, Login, Told, pointer};

impl Browser {
    /// The promises that hold at every moment. Each is judged where it could break.
    pub fn assert_promises(&self) {
        assert_eq!(self.stage.broken(), Vec::<String>::new());
    }

    /// The promises that hold when nothing is under way and the stores take everything.
    pub fn assert_at_rest(&self) {
        self.assert_promises();
        for process in self.processes.iter().filter(|_| !self.stage.is_torn()) {
            let lacking = self.stage.lacking_of(process.way.life);
            assert_eq!(lacking, None, "the store lacks tokens that a process has");
        }
        for (subject, login) in &self.shared.known().logins {
            if self.stage.has_lost(subject) && self.stage.is_torn() {
                continue;
            }
            self.assert_ended(subject, login);
            self.assert_stands(subject, login);
        }
    }

    fn assert_ended(&self, subject: &str, login: &Login) {
        let Some(key) = self.stage.key_of(subject) else {
            return;
        };
        let stage = &self.stage;
        if stage.has_lost_ending(subject) {
            return;
        }
        let ended_here = login.ended_in.iter().chain(&login.log_out_begun);
        let mut ended_here = ended_here.filter(|life| stage.is_alive(**life));
        if ended_here.next().is_some() {
            assert_eq!(stage.stored_set(key), None, "{subject} is stored after its end");
        }
        let Some(ending) = stage.ending(key) else {
            return;
        };
        let begun_in = login.log_out_begun.filter(|life| stage.is_alive(*life));
        // Whoever has ended it revokes what it held, if it lives on.
        if let Some(life) = begun_in.filter(|life| ending.why == "logout" && ending.by == *life) {
            // Where the store's answer got lost, an earlier token may be all that is known.
            let (answer_lost, nothing_known) = stage.has_failed(life);
            let alive = self.issuer.session_alive(&login.first_access_token);
            let is_gone = nothing_known || (answer_lost && !alive);
            let unrevoked = stage.unrevoked(subject).filter(|_| !is_gone);
            assert_eq!(unrevoked, None, "{subject} has tokens after its log out");
        }
    }

    /// Whoever is logged in stays so.
    fn assert_stands(&self, subject: &str, login: &Login) {
        if login.reported != Some(true) || login.excused || self.stage.has_lost(subject) {
            return;
        }
        let key = self.stage.key_of(subject).expect("a login that was reported has a record");
        assert!(
            !self.stage.is_marked_in_vain(key),
            "{subject}'s record is marked, and no token is out"
        );
        let alive = self.issuer.session_alive(&login.first_access_token);
        assert!(alive, "{subject} was logged out by the provider");
        let set = self.stage.stored_set(key);
        let set = set.unwrap_or_else(|| panic!("{subject} was lost from the store"));
        assert!(
            self.issuer.is_refresh_token_live(&set.refresh)
                || self.stage.has_fallen_back(&set.refresh),
            "the store holds a consumed token of {subject}"
        );
    }

    /// A login that ended with its session takes every session along that points to it: at once where
    /// the process knows, else where a token is next asked for.
    pub fn ask_sessions_of_ended_logins(&mut self) {
        for id in self.stage.sessions().into_iter().filter(|_| !self.stage.is_torn()) {
            let key = self.stage.pointer(id);
            // Whoever remembers an earlier ending, which the store has lost, asks no more.
            let is_back =
                |key| self.stage.owner(key).is_some_and(|owner| self.stage.has_lost_ending(&owner));
            let ends = |key| {
                self.stage.ending(key).is_some_and(|ending| ending.with_session) && !is_back(key)
            };
            let Some(key) = key.filter(|key| ends(*key) && self.stage.stored_set(*key).is_none())
            else {
                continue;
            };
            for process in 0..self.processes.len() {
                let (session, again) =
                    (self.session(process, Some(id)), self.session(process, Some(id)));
                let (refresher, stage) =
                    (self.processes[process].refresher.clone(), self.stage.clone());
                let running = self.processes[process].runtime.spawn(async move {
                    let asked = refresher.valid_token(&session).await;
                    let still_points = pointer(&session).await.or(pointer(&again).await);
                    if asked.is_ok() || still_points == Some(key) {
                        stage.note_broken("a session still points to a login that ended with it");
                    }
                });
                self.told.push(Told { process, running });
            }
        }
    }
}
