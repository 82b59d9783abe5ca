//! What must hold.

use super::Browser;

impl Browser {
    /// The promises that hold at every moment.
    pub fn assert_promises(&self) {
        assert_eq!(self.stage.broken(), Vec::<String>::new());
        if self.issuer.max_presented() > 1 {
            let known = self.shared.known();
            for (subject, refresh) in self.stage.refresh_tokens() {
                let wiped =
                    known.logins.get(&subject).is_none_or(|login| login.wiped || login.unburied);
                let presented = self.issuer.presented(&refresh);
                assert!(
                    presented <= 1 || wiped || self.stage.failed_ever(&refresh),
                    "a refresh token of {subject} was presented {presented} times"
                );
            }
        }
    }

    /// The promises that hold when nothing is under way.
    pub fn assert_at_rest(&self) {
        self.assert_promises();
        for (subject, login) in &self.shared.known().logins {
            let live = self.stage.live(subject);
            // A second `cycle_id` cannot bury the first record while the store refuses writes.
            assert!(
                live.len() <= 1 || self.stage.refused_ever(),
                "{subject} lives in {} records",
                live.len()
            );
            if login.unburied {
                continue;
            }
            let alive = self.issuer.session_alive(&login.first_access_token);
            if login.logged_out {
                assert_eq!(live, [], "{subject} is back after log out");
                assert!(
                    !alive || self.stage.has_lost_a_revocation(),
                    "{subject} has live tokens after log out"
                );
            }
            // Where the provider was the first to end it, nothing but its tokens went. Without tokens nothing tells whose a record is.
            if login.deleted && !login.kept && !login.wiped && !self.stage.has_lost(subject) {
                assert!(
                    !self.stage.remembers(subject),
                    "a session remembers {subject} after its end"
                );
            }
            if login.reported && !login.excused && !self.stage.has_lost(subject) {
                assert!(alive, "{subject} was logged out by the provider");
                let [set] = live.as_slice() else {
                    panic!("{subject} was lost from the store");
                };
                assert!(
                    self.issuer.is_refresh_token_live(&set.refresh),
                    "the store holds a consumed token of {subject}"
                );
            }
        }
    }
}
