//! [`Refusals`]: what the provider clearly refuses to everybody.
//!
//! A wrong client secret, or a firewall in front of the endpoint, refuses every refresh alike, and
//! every page view would ask again. After three logins in a row were refused, requests pause: 1 s,
//! doubling to 60 s, with one request after each pause. Whoever asks in between gets the last
//! answer. The first answer of any other kind ends it.
//!
//! Refusals that may be about one refresh token only do not count: see `is_perhaps_dead`.

use std::time::Duration;

use super::{Fingerprint, SEVERAL, breaker::jittered, held_back::HeldBack};
use crate::{
    backoff::doubled,
    endpoint::error::{EndpointError, EndpointErrorKind as Kind},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Refusals {
    /// Who was refused in a row, [`SEVERAL`] at the most.
    tokens: Vec<Fingerprint>,
    pauses: u32,
    until: Duration,
    last: Option<EndpointError>,
}

impl Refusals {
    /// The last answer, while requests pause.
    pub(crate) fn check(&self, token: Fingerprint, now: Duration) -> Result<(), EndpointError> {
        let Some(error) = &self.last else { return Ok(()) };
        // Who was refused before asks later than others: they may be served.
        let was_refused = self.tokens.contains(&token);
        let until = if was_refused { self.until + self.pause() } else { self.until };
        if now >= until {
            return Ok(());
        }
        Err(self.told_now(error, until - now))
    }

    fn told_now(&self, error: &EndpointError, rest: Duration) -> EndpointError {
        if self.pauses == 1 && error.is_passing() {
            let retry_after = Some(rest.max(FIRST_PAUSE));
            return EndpointError::new(Kind::Unavailable { retry_after })
                .with_source(HeldBack::RefusedToAll);
        }
        error.clone()
    }

    /// Starts a request, and gives its epoch. While it runs, the others still get the last answer.
    pub(crate) fn admit(
        &mut self,
        token: Fingerprint,
        now: Duration,
    ) -> Result<u32, EndpointError> {
        self.check(token, now)?;
        if self.last.is_some() {
            self.until = now.saturating_add(self.pause());
        }
        Ok(self.pauses)
    }

    /// `error`: None for tokens. `random` is a new random number for each call.
    pub(crate) fn record(
        &mut self,
        (token, epoch): (Fingerprint, u32),
        error: Option<&EndpointError>,
        now: Duration,
        random: u32,
    ) {
        match error {
            Some(error) if error.is_of_one_request() => {}
            Some(error) if error.is_refusal() && !error.is_perhaps_dead() => {
                if epoch == self.pauses {
                    self.refused(token, error, now, random);
                }
            }
            // Nobody has answered.
            Some(error)
                if matches!(
                    error.kind(),
                    Kind::Unreachable
                        | Kind::NoCredentials
                        | Kind::NoAnswer
                        | Kind::Unavailable { .. }
                ) => {}
            _ => *self = Self::default(),
        }
    }

    fn refused(&mut self, token: Fingerprint, error: &EndpointError, now: Duration, random: u32) {
        if !self.tokens.contains(&token) && self.tokens.len() < SEVERAL {
            self.tokens.push(token);
        }
        if self.tokens.len() == SEVERAL {
            self.until = now.saturating_add(jittered(self.pause(), random));
            self.pauses = self.pauses.saturating_add(1);
            self.last = Some(error.clone().with_source(HeldBack::RefusedToAll));
        }
    }

    fn pause(&self) -> Duration {
        doubled(FIRST_PAUSE, self.pauses, LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn login(name: usize) -> Fingerprint {
        Fingerprint::of(&name.to_string())
    }

    fn refusal() -> EndpointError {
        EndpointError::new(Kind::Rejected { code: "invalid_client" })
    }

    fn refused_to(logins: usize, now: Duration) -> Refusals {
        let mut refusals = Refusals::default();
        for name in 0..logins {
            refusals.record((login(name), 0), Some(&refusal()), now, u32::MAX);
        }
        refusals
    }

    #[test]
    fn three_refused_logins_stop_the_others_and_get_the_same_answer() {
        assert!(refused_to(2, SECOND).check(login(99), SECOND).is_ok());
        let error = refused_to(3, SECOND).check(login(99), SECOND).expect_err("stopped");
        assert_eq!(error.kind(), refusal().kind());
    }

    #[test]
    fn one_login_that_is_refused_again_and_again_stops_nobody() {
        let mut refusals = Refusals::default();
        for _ in 0..10 {
            refusals.record((login(1), 0), Some(&refusal()), SECOND, u32::MAX);
        }
        assert!(refusals.check(login(99), SECOND).is_ok());
    }

    #[test]
    fn after_each_pause_one_asks_and_the_pause_doubles_to_a_minute() {
        let mut refusals = refused_to(3, Duration::ZERO);
        let mut now = Duration::ZERO;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(
                refusals.check(login(99), now + SECOND * pause - Duration::from_nanos(1)).is_err()
            );
            now += SECOND * pause;
            let epoch = refusals.admit(login(99), now).expect("one asks");
            assert!(refusals.admit(login(99), now).is_err(), "only one asks after {pause}");
            refusals.record((login(7), epoch), Some(&refusal()), now, u32::MAX);
        }
    }

    #[test]
    fn an_answer_of_another_kind_ends_it_and_no_answer_does_not() {
        let dead = EndpointError::new(Kind::InvalidGrant);
        let perhaps = EndpointError::new(Kind::Rejected { code: "x" }).perhaps_dead();
        for answer in [None, Some(&dead), Some(&perhaps)] {
            let mut refusals = refused_to(3, SECOND);
            refusals.record((login(7), 0), answer, SECOND, u32::MAX);
            assert!(refusals.check(login(99), SECOND).is_ok(), "{answer:?}");
        }
        let mut refusals = refused_to(3, SECOND);
        let silent = EndpointError::new(Kind::NoAnswer).maybe_consumed();
        refusals.record((login(7), 0), Some(&silent), SECOND, u32::MAX);
        assert!(refusals.check(login(99), SECOND).is_err());
    }

    /// A firewall refuses everything that is under way.
    #[test]
    fn a_burst_of_refusals_makes_one_pause() {
        let refusals = refused_to(64, Duration::ZERO);
        assert!(refusals.check(login(99), SECOND).is_ok(), "after the first pause");
    }

    #[test]
    fn what_may_pass_is_an_outage_until_it_has_stayed() {
        let passing = refusal().may_pass();
        let mut refusals = Refusals::default();
        for name in 0..3 {
            refusals.record((login(name), 0), Some(&passing), Duration::ZERO, u32::MAX);
        }
        let told = refusals.check(login(99), Duration::ZERO).expect_err("held back");
        assert_eq!(told.kind(), &Kind::Unavailable { retry_after: Some(SECOND) });
        let epoch = refusals.admit(login(99), SECOND).expect("one asks");
        refusals.record((login(7), epoch), Some(&passing), SECOND, u32::MAX);
        assert_eq!(
            refusals.check(login(99), SECOND).expect_err("held back").kind(),
            passing.kind()
        );
    }

    /// A few logins that are always refused must not take each turn.
    #[test]
    fn who_was_refused_asks_after_the_others() {
        let mut refusals = refused_to(3, Duration::ZERO);
        assert!(refusals.admit(login(0), SECOND).is_err());
        assert!(refusals.admit(login(3), SECOND).is_ok());
        let refusals = refused_to(3, Duration::ZERO);
        assert!(refusals.check(login(0), SECOND * 3).is_ok(), "where nobody else comes");
    }
}
