//! The mark that a flight sets in the token record before each attempt, and takes back where the
//! refresh token was certainly not used up.

use async_trait::async_trait;

use super::{
    records::{Found, Swap},
    refresh::Flight,
};
use crate::{
    clock::Moment,
    endpoint::{Aborted, BeforeAttempt},
    error::{Chain, RefreshError},
    operate::Stage,
    policy::LONGEST_MARKING,
    token_store::{Nonce, RecordStateKind, RecordVersion},
};

/// Sets the mark before each attempt.
pub(super) struct Marker<'a> {
    flight: &'a Flight<'a>,
    found: &'a Found,
    /// The store has the tokens that are presented.
    stored: bool,
    /// The token may have been presented before.
    pub(super) replay: bool,
    /// Of the mark that is set next, or was set last.
    pub(super) nonce: Nonce,
    /// This is not the first attempt.
    renews: bool,
    marked: Option<RecordVersion>,
    pub(super) stop: Option<Stop>,
    /// The token was about to be sent, at least once: the mark is set, and the outcome in doubt.
    pub(super) presenting: bool,
    /// The token was sent, at least once.
    pub(super) sent: bool,
}

/// Why an attempt was called off.
pub(super) enum Stop {
    /// Begin again: somebody else has written the record, or this process has slept.
    Again,
    Refused(RefreshError),
}

#[async_trait]
impl BeforeAttempt for Marker<'_> {
    async fn before_attempt(&mut self) -> Result<(), Aborted> {
        let (core, key) = (self.flight.core, self.flight.asked.login.key);
        let generation = self.found.tokens.generation;
        let began = core.clock.moment();
        if std::mem::replace(&mut self.renews, true) {
            // Whoever has judged the earlier mark too old must not find it again.
            self.nonce = Nonce::random();
            core.presentations.renewing(key, generation, self.nonce);
        } else {
            core.presentations.marking(key, generation, self.nonce, self.replay);
        }
        if self.stored {
            self.flight.entry.enter(Stage::Mark);
            self.mark(began).await.map_err(|stop| {
                self.stop = Some(stop);
                Aborted
            })?;
        }
        core.presentations.presenting(key, generation);
        self.flight.entry.enter(Stage::Request);
        self.presenting = true;
        Ok(())
    }

    fn sending(&mut self) {
        self.sent = true;
    }
}

impl<'a> Marker<'a> {
    pub(super) fn new(
        flight: &'a Flight<'a>,
        found: &'a Found,
        stored: bool,
        replay: bool,
    ) -> Self {
        Self {
            flight,
            found,
            stored,
            replay,
            nonce: Nonce::random(),
            renews: false,
            marked: None,
            stop: None,
            presenting: false,
            sent: false,
        }
    }

    async fn mark(&mut self, began: Moment) -> Result<(), Stop> {
        let (core, key) = (self.flight.core, self.flight.asked.login.key);
        let since = self.found.store_now_at_most(&core.clock);
        let expected = self.marked.unwrap_or_else(|| self.found.record.version());
        match core.writes.mark(key, expected, self.found, since, self.nonce).await {
            Ok(Some(version)) => self.marked = Some(version),
            // The answer to an earlier swap may have got lost.
            Ok(None) => match core.records.swapped(key, self.nonce).await {
                Ok(Swap::Done) => self.marked = Some(self.version()),
                Ok(Swap::Lost) => {
                    core.meter.swap_lost("mark");
                    return Err(Stop::Again);
                }
                Ok(Swap::Over) => return Err(Stop::Again),
                Err(error) => return Err(Stop::Refused(error)),
            },
            Err(error) => match core.records.swapped(key, self.nonce).await {
                Ok(Swap::Done) => self.marked = Some(self.version()),
                _ if core.records.compares_and_swaps() => return Err(Stop::Refused(error)),
                // The store serves one process, which never runs two flights of one login: a store
                // that only refuses writes is noticed by nobody.
                _ => return Ok(()),
            },
        }
        // A mark that has grown old, while this process slept or the store took its time, does not hold
        // the others off for as long as the request and the write may take.
        if core.clock.since(began) > LONGEST_MARKING {
            return Err(Stop::Again);
        }
        Ok(())
    }

    fn version(&self) -> RecordVersion {
        RecordVersion {
            generation: self.found.record.generation(),
            state: RecordStateKind::Presenting,
            nonce: self.nonce,
        }
    }

    /// The token was certainly not used up: nobody has to wait for the mark to grow old.
    pub(super) async fn unmark(&self) {
        let Some(marked) = self.marked else { return };
        let (core, key) = (self.flight.core, self.flight.asked.login.key);
        if let Err(error) = core.writes.unmark(key, marked, self.found).await {
            tracing::warn!(
                login = %key,
                error = %Chain(&error),
                "the mark of a refresh that failed is still in the token store; other processes wait \
                 until it is too old"
            );
        }
    }
}
