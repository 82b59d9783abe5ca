//! How a login ends: one table, one function.
//!
//! | cause | marked here | a flight's new tokens | its sessions | its requests get |
//! |---|---|---|---|---|
//! | logout, `EndSession` | first | revoked | end | `LoggedOut` |
//! | logout, `KeepSession` | first | revoked | stay | `LoggedOut` |
//! | another login of the same session | first | dropped | stay | `LoggedOut` |
//! | a login that failed | first | dropped | stay | `LoggedOut` |
//! | the provider's logout token | first | dropped | end | `LoggedOut` |
//! | refused or missing refresh token | after the store | dropped | stay | `SessionExpired` |
//! | tokens of another user | first | revoked | stay | `SubjectChanged` |
//!
//! Tokens are dropped, not revoked, where a revocation could end more than this login: some
//! providers end all logins of the browser with it, the one that has just taken its place included.
//!
//! "After the store": a refused refresh token ends nothing if another process has stored newer
//! tokens, and only the store can tell.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::task::TaskTracker;

use super::{
    FlightKey, FlightResult,
    audit::{Audit, Whose},
    ended_here::EndedHere,
    errors::ended,
    prolong,
    records::{Read, Records},
    revoker::Revoker,
    unsaved::Unsaved,
    writes::Writes,
};
use crate::{
    clock::Clock,
    error::{RefreshError, RefreshErrorKind},
    single_flight::SingleFlight,
    token_cache::TokenCache,
    token_store::{Ended, Ending, EndingReason, Nonce, TokenRecord},
    tokens::{GrantId, GrantTokens, RecordKey},
};

/// How long an ending waits to learn what it will replace.
const READING: Duration = Duration::from_secs(2);

/// What ends a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Logout { with_session: bool },
    Replaced,
    FailedLogin,
    Provider,
    Expired,
    SubjectChanged,
}

impl Cause {
    fn ending(self, keep_until: SystemTime) -> Ending {
        let (reason, revoke, with_session) = match self {
            Self::Logout { with_session } => (EndingReason::Logout, true, with_session),
            Self::Replaced => (EndingReason::Replaced, false, false),
            Self::FailedLogin => (EndingReason::FailedLogin, false, false),
            Self::Provider => (EndingReason::Provider, false, true),
            Self::Expired => (EndingReason::Expired, false, false),
            Self::SubjectChanged => (EndingReason::SubjectChanged, true, false),
        };
        Ending { reason, revoke, with_session, keep_until, nonce: Nonce::random() }
    }
}

/// Which login, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login {
    pub(super) key: RecordKey,
    /// A logout token leads to the record alone.
    pub(super) grant: Option<GrantId>,
}

impl Login {
    pub(super) fn of(grant: GrantId) -> Self {
        Self { key: RecordKey::of(grant), grant: Some(grant) }
    }
}

/// A login that has ended in this process.
pub(super) struct EndedLogin {
    /// The newest tokens known of it.
    pub(super) newest: Option<GrantTokens>,
    /// Whether these are to be revoked: not where the login had ended before.
    pub(super) revoke: bool,
    /// Why the token store has not taken the ending. It is tried again in the background.
    pub(super) refused: Option<RefreshError>,
}

/// Ends logins.
pub(super) struct Endings {
    pub(super) here: Arc<EndedHere>,
    pub(super) cache: Arc<TokenCache>,
    pub(super) records: Arc<Records>,
    pub(super) writes: Arc<Writes>,
    pub(super) unsaved: Unsaved,
    pub(super) flights: Arc<SingleFlight<FlightKey, FlightResult>>,
    pub(super) revoker: Revoker,
    pub(super) tasks: TaskTracker,
    pub(super) clock: Clock,
    pub(super) audit: Audit,
}

impl Endings {
    /// Ends a login: in this process at once, so that its waiters are told and nothing of it is
    /// served any more; then in the token store. `session_ends`: the end of the session that points
    /// to it, where it is known.
    pub(super) async fn end(
        &self,
        login: Login,
        cause: Cause,
        session_ends: Option<SystemTime>,
    ) -> EndedLogin {
        let key = login.key;
        let cached = login.grant.and_then(|grant| self.cache.get(grant));
        // An earlier ending stays, also one that the store has not taken yet. Each call has a nonce
        // of its own all the same, so that one answer belongs to one call.
        let own = self.ending(cause, session_ends);
        let ending = Ending { nonce: own.nonce, ..self.mark(login, own, false) };
        let mut revoke = ending.revoke;
        let known = if ending.revoke { self.known(key).await } else { None };
        let unsaved = self.unsaved.pending(key);
        let mut in_record = None;
        let (stored, refused) = match self.writes.end(key, ending, None).await {
            Ok(ended) => {
                self.here.note_stored(key);
                match &ended {
                    Ended::Replaced(record) => in_record = Some(Whose::of_record(record)),
                    Ended::Before(before) => {
                        // Whoever ended it before has revoked what there was, if that was to be.
                        revoke = false;
                        self.learn(login, *before);
                    }
                    Ended::Newer(_) | Ended::Absent => {}
                }
                (self.replaced(key, ended), None)
            }
            Err(error) => (None, Some(error)),
        };
        let unsaved = unsaved.map(|write| {
            if refused.is_none() && revoke {
                self.unsaved.release(key, write.tokens.generation);
            }
            write.tokens.clone()
        });
        let newest = stored.into_iter().chain(unsaved).chain(known);
        let newest = newest.max_by_key(|tokens| tokens.generation);
        let known = newest.as_ref().map(Whose::from).or(cached.as_deref().map(Whose::from));
        match (in_record, &refused) {
            (Some(in_record), _) => {
                self.audit.ended(key, &known.unwrap_or(in_record), ending.reason);
            }
            // A record that cannot be read will not be readable by trying again.
            (None, Some(error)) if error.kind() == RefreshErrorKind::Misconfigured => {
                self.here.note_stored(key);
            }
            (None, Some(error)) => {
                self.audit.answer_lost(key, &ending, known.unwrap_or_default());
                self.unsaved.end_later(key, ending, error);
            }
            (None, None) => {}
        }
        if revoke && !own.revoke && refused.is_none() {
            self.revoke_for_logout(key, newest.clone());
        }
        EndedLogin { newest, revoke, refused }
    }

    /// A logout of this process has begun before, and will find that the login has ended: what the
    /// ending replaced it never sees.
    fn revoke_for_logout(&self, key: RecordKey, newest: Option<GrantTokens>) {
        let revoker = self.revoker.clone();
        if let Some(tokens) = newest {
            self.tasks.spawn(async move { revoker.revoke_unwanted(key, &tokens).await });
        }
    }

    /// What is to be revoked if the store does not say what the ending replaced: it may do what it
    /// is asked for, and its answer may get lost.
    async fn known(&self, key: RecordKey) -> Option<GrantTokens> {
        let last = self.writes.last(key, 0).map(|write| write.tokens);
        let read = tokio::time::timeout(READING, self.records.read(key));
        let stored = match read.await {
            Ok(Ok(Read::Held(found))) => Some(found.tokens),
            _ => None,
        };
        last.into_iter().chain(stored).max_by_key(|tokens| tokens.generation)
    }

    /// Ends a login whose refresh token, that of `tokens`, leads nowhere. Gives the record of a later
    /// generation if there is one: nothing has ended then.
    pub(super) async fn expire(
        &self,
        login: Login,
        tokens: &GrantTokens,
    ) -> Result<Option<TokenRecord>, RefreshError> {
        let key = login.key;
        let ending = self.ending(Cause::Expired, None);
        let ended = self.writes.end(key, ending, Some(tokens.generation.0)).await;
        match ended.inspect_err(|_| self.expiry_lost(key, &ending, tokens))? {
            Ended::Newer(record) => Ok(Some(record)),
            Ended::Before(before) => {
                self.learn(login, before);
                Ok(None)
            }
            Ended::Replaced(_) => {
                self.audit.ended(key, &tokens.into(), ending.reason);
                self.mark(login, ending, true);
                Ok(None)
            }
            Ended::Absent => Ok(None),
        }
    }

    /// Nobody tries it again. But the store may have taken it, and have said so already to whom it
    /// tells of changes.
    fn expiry_lost(&self, key: RecordKey, ending: &Ending, tokens: &GrantTokens) {
        self.audit.answer_lost(key, ending, tokens.into());
        if let Some(known) = self.here.get(key) {
            self.audit.found_ended(key, &known, None);
        }
    }

    /// The token store says that a login has ended: so it has here.
    pub(super) fn learn(&self, login: Login, ending: Ending) {
        self.audit.found_ended(login.key, &ending, None);
        self.mark(login, ending, true);
    }

    /// What the requests of a login get that has ended in this process.
    pub(super) fn error_of(&self, key: RecordKey) -> Option<RefreshError> {
        self.here.get(key).map(|ending| ended(ending.reason))
    }

    /// Fails if the login has ended in this process.
    pub(super) fn check(&self, key: RecordKey) -> Result<(), RefreshError> {
        self.error_of(key).map_or(Ok(()), Err)
    }

    /// Gives the ending that stays.
    fn mark(&self, login: Login, ending: Ending, stored: bool) -> Ending {
        self.here.mark(login.key, ending, stored);
        if let Some(grant) = login.grant {
            self.cache.remove(grant);
        }
        // By the ending that stays, which may be an earlier one.
        if let Some(error) = self.error_of(login.key) {
            self.flights.settle(|flight| flight.key == login.key, &Err(error));
        }
        self.here.get(login.key).unwrap_or(ending)
    }

    fn ending(&self, cause: Cause, session_ends: Option<SystemTime>) -> Ending {
        cause.ending(prolong::keep_ended_until(session_ends, self.clock.now()))
    }

    fn replaced(&self, key: RecordKey, ended: Ended) -> Option<GrantTokens> {
        match ended {
            // Tokens that this process cannot open it cannot revoke; why is in the log.
            Ended::Replaced(record) => self.records.open(key, &record).ok(),
            Ended::Before(_) | Ended::Newer(_) | Ended::Absent => None,
        }
    }
}
