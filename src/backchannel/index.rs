//! Where the logins live that a provider may end: from (issuer, `sid`) and (issuer, `sub`) to session ids, in any session store.
//!
//! One record per name, under an id that only who has the key can make: HMAC-SHA-256 of the name, cut to the 128 bits of a session id.
//! The record is marked as no session, so a guarded store shows it to no browser. It holds at most 100 logins; those whose time is over
//! go first, then those not heard of for longest. It expires with the last of them.
//!
//! A login is kept for longer than its session lives unused: the session may be used until it has to be refreshed, and lives on from
//! then. The refresh notes the login again. There is a session's life to spare, so that not each refresh has to write.
//!
//! A login is noted when it is made, when it moves to another session id, and again after each refresh. Taking one out, or leaving a
//! wrong one in, does no harm: a login ends by its grant, not by the session id it was last seen under.
//!
//! A session store cannot change a record in one step. Within a process a lock makes up for that; of two processes that note two logins
//! under one name at the same moment, one may undo the other's. The login's next refresh notes it again; until then a log out by that
//! name does not find it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

use crate::{
    clock::Clock,
    grant::{GrantId, HeldSet},
    session::{IdLocks, NO_SESSION},
};

/// The most logins that are kept under one name.
const LOGINS: usize = 100;

/// Cheap to clone; clones are one index.
#[derive(Clone)]
pub(crate) struct Index(Arc<Inner>);

struct Inner {
    store: Arc<dyn SessionStore>,
    key: hmac::Key,
    locks: IdLocks,
    warned_of_nameless: AtomicBool,
}

/// A name that a provider may end logins by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named<'a> {
    /// `sid`: one browser's session at the provider.
    Session(&'a str),
    /// `sub`: a user.
    User(&'a str),
}

/// A login and the session id it was last seen under.
#[derive(Clone, Copy)]
pub(crate) struct Login {
    pub(crate) grant: GrantId,
    pub(crate) home: Id,
    until: OffsetDateTime,
}

impl Index {
    pub(super) fn new(store: Arc<dyn SessionStore>, key: hmac::Key) -> Self {
        Self(Arc::new(Inner {
            store,
            key,
            locks: IdLocks::new(),
            warned_of_nameless: AtomicBool::new(false),
        }))
    }

    /// Notes that the grant of `set` lives under `home`, in a session that ends at `expiry` unless it is used.
    pub(crate) async fn note(
        &self,
        set: &HeldSet,
        home: Id,
        expiry: OffsetDateTime,
        clock: &Clock,
    ) -> Result<()> {
        let now = sessions_now();
        let session_life = (expiry - now).max(time::Duration::ZERO);
        let token_life = set.expires_at.duration_since(clock.now()).unwrap_or_default();
        let token_life = token_life.try_into().unwrap_or(time::Duration::MAX);
        // Saturating, as a session may be told to live for thousands of years.
        let enough = now.saturating_add(session_life.max(token_life)).saturating_add(session_life);
        let login = Login { grant: set.grant, home, until: enough.saturating_add(session_life) };
        for id in self.ids_of(set) {
            self.change(id, move |logins| put(logins, login, enough)).await?;
        }
        Ok(())
    }

    /// Takes the grant of `set` out.
    pub(crate) async fn forget(&self, set: &HeldSet) -> Result<()> {
        for id in self.ids_of(set) {
            self.take_out(id, vec![set.grant]).await?;
        }
        Ok(())
    }

    /// Takes grants out of what is found by one name.
    pub(crate) async fn forget_all(
        &self,
        issuer: &str,
        named: Named<'_>,
        grants: Vec<GrantId>,
    ) -> Result<()> {
        self.take_out(self.id_of(issuer, named), grants).await
    }

    pub(crate) async fn find(&self, issuer: &str, named: Named<'_>) -> Result<Vec<Login>> {
        let record = self.0.store.load(&self.id_of(issuer, named)).await?;
        Ok(record.as_ref().map(logins_in).unwrap_or_default())
    }

    /// What a token is remembered by.
    pub(super) fn token(&self, issuer: &str, jti: &str) -> Id {
        self.0.id("jti", issuer, jti)
    }

    /// Whether [`mark`](Self::mark) was called for this token, in any process.
    pub(super) async fn is_marked(&self, token: Id) -> Result<bool> {
        Ok(self.0.store.load(&token).await?.is_some())
    }

    /// Remembers a token for a while.
    pub(super) async fn mark(&self, token: Id, stays: Duration) -> Result<()> {
        let (inner, until) = (self.0.clone(), sessions_now() + stays);
        self.0
            .locks
            .exclusively(token, async move { inner.write(token, &[], until, false).await })
            .await
    }

    /// Says so, once, if the tokens of a login have no name to note it under.
    pub(crate) fn warn_of_nameless(&self, set: &HeldSet) {
        let nameless = set.sid.is_none() && set.subject.is_none();
        if nameless && !self.0.warned_of_nameless.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                grant = %set.grant,
                "the provider cannot end a login whose tokens name neither its session (`sid`) nor its user (`sub`); \
                 ID tokens do, with the scope `openid` (this is said once)"
            );
        }
    }

    pub(super) fn ids_of(&self, set: &HeldSet) -> Vec<Id> {
        let by_sid = set.sid.as_deref().map(Named::Session);
        let by_subject = set.subject.as_deref().map(Named::User);
        by_sid.into_iter().chain(by_subject).map(|named| self.id_of(&set.issuer, named)).collect()
    }

    pub(super) fn id_of(&self, issuer: &str, named: Named<'_>) -> Id {
        match named {
            Named::Session(sid) => self.0.id("sid", issuer, sid),
            Named::User(subject) => self.0.id("sub", issuer, subject),
        }
    }

    async fn take_out(&self, id: Id, grants: Vec<GrantId>) -> Result<()> {
        self.change(id, move |logins| {
            let before = logins.len();
            logins.retain(|login| !grants.contains(&login.grant));
            logins.len() != before
        })
        .await
    }

    /// Changes the logins under `id`, while no other task of this process does. `change` says whether there is something to write.
    async fn change(
        &self,
        id: Id,
        change: impl FnOnce(&mut Vec<Login>) -> bool + Send + 'static,
    ) -> Result<()> {
        let inner = self.0.clone();
        self.0
            .locks
            .exclusively(id, async move {
                let found = inner.store.load(&id).await?;
                let mut logins = found.as_ref().map(logins_in).unwrap_or_default();
                if !change(&mut logins) {
                    return Ok(());
                }
                match logins.iter().map(|login| login.until).max() {
                    None => inner.store.delete(&id).await,
                    Some(until) => inner.write(id, &logins, until, found.is_some()).await,
                }
            })
            .await
    }
}

impl Inner {
    /// Each part with its length before it, so that no two names look the same.
    fn id(&self, kind: &str, issuer: &str, name: &str) -> Id {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [kind, issuer, name] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&context.sign().as_ref()[..16]);
        Id(i128::from_be_bytes(id))
    }

    async fn write(
        &self,
        id: Id,
        logins: &[Login],
        until: OffsetDateTime,
        exists: bool,
    ) -> Result<()> {
        let written: Vec<_> = logins.iter().map(Written::from).collect();
        let written =
            serde_json::to_value(written).map_err(|error| Error::Encode(error.to_string()))?;
        let data = [(NO_SESSION.to_owned(), written)].into();
        let mut record = Record { id, data, expiry_date: until };
        if !exists {
            // Some stores save over a record only, and all of them create under another id where this one is taken: by another
            // process just now, or by a record that has expired.
            self.store.create(&mut record).await?;
            if record.id == id {
                return Ok(());
            }
            self.store.delete(&record.id).await?;
            record.id = id;
        }
        self.store.save(&record).await
    }
}

/// Puts `login` last, over what was known of its grant; false if that is known there until `enough`.
fn put(logins: &mut Vec<Login>, login: Login, enough: OffsetDateTime) -> bool {
    let known = logins.iter().find(|known| known.grant == login.grant);
    if known.is_some_and(|known| known.home == login.home && known.until >= enough) {
        return false;
    }
    let now = sessions_now();
    logins.retain(|known| known.grant != login.grant && known.until > now);
    logins.push(login);
    let too_many = logins.len().saturating_sub(LOGINS);
    logins.drain(..too_many);
    true
}

/// The clock that session records expire by.
#[expect(clippy::disallowed_methods, reason = "tower-sessions and its stores know no other")]
fn sessions_now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[derive(Serialize, Deserialize)]
struct Written {
    grant: String,
    home: String,
    until: i64,
}

impl From<&Login> for Written {
    fn from(login: &Login) -> Self {
        Self {
            grant: login.grant.to_string(),
            home: login.home.to_string(),
            until: login.until.unix_timestamp(),
        }
    }
}

/// What cannot be read was not written by us, and says nothing.
fn logins_in(record: &Record) -> Vec<Login> {
    let written = record.data.get(NO_SESSION).and_then(|value| value.as_array());
    let read = |value: &serde_json::Value| {
        let written = Written::deserialize(value).ok()?;
        Some(Login {
            grant: GrantId::parse(&written.grant)?,
            home: written.home.parse().ok()?,
            until: OffsetDateTime::from_unix_timestamp(written.until).ok()?,
        })
    };
    written.map(|logins| logins.iter().filter_map(read).collect()).unwrap_or_default()
}
