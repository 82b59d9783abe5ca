//! What this process knows of each grant: where it lives, its newest set, whether it ended.
//!
//! A plain concurrent map, never locked across an await. It serves three ends. The fast path finds the decoded set of a
//! generation here instead of reading JSON. A caller that comes late, or whose record is behind, finds the newest set. And
//! every write to the session store asks here whether the grant has ended or moved. What stays for how long is in `retention`.

mod retention;
mod setbacks;
mod writer;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry, mapref::one::RefMut};
use rustc_hash::FxBuildHasher;
use tower_sessions::session::Id;

pub(crate) use self::setbacks::pause;
use self::{retention::millis, setbacks::Setback};
use crate::{
    clock::Clock,
    grant::{Generation, GrantId, HeldSet},
};

/// Of how many session ids that a grant has left this is remembered. Applications that change the id at every request leave many.
const IDS_LEFT: usize = 8;
/// How long after a flight a caller with an older set is served from here without asking the store.
const LATE: Duration = Duration::from_secs(30);

/// See the module's documentation.
pub(crate) struct Ledger {
    /// Hashed fast: the ids are random and nobody outside chooses them.
    grants: DashMap<GrantId, Grant, FxBuildHasher>,
    /// Session ids whose grant has moved on, and when: a browser that has not got its new cookie yet still means that grant.
    left: DashMap<Id, (GrantId, Duration)>,
    clock: Clock,
    /// Bytes of the sets held, and how many there may be of those that could be dropped.
    bytes: AtomicUsize,
    limit: usize,
    swept_at: AtomicU64,
}

/// Who holds the newest set besides the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Custody {
    /// A finished record in the store.
    Record,
    /// Nobody: its record was deleted, and the one that carries the grant on is not made yet.
    Uncarried,
    /// Nobody yet: the flight that brought it is writing it to the store.
    Landing,
    /// Nobody: the store has not taken it, for as long as its flight could try.
    Pending,
}

/// How a grant ended, the mildest first. A graver ending takes the place of a milder one, never the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// Another login of the same session took its place. What a flight still brings is dropped, not revoked: a revocation may
    /// end the provider's whole browser session, and the new login with it.
    Replaced,
    /// The user, the application or the provider ended it: what a flight still brings is revoked.
    Final,
    /// As [`Final`](Self::Final), and its session is deleted with it. What carries the grant on under another id carries nothing else
    /// of that session either.
    WithSession,
}

/// What the ledger says to a request that holds generation `g` of a grant.
pub(crate) enum Lookup {
    /// The grant ended.
    Ended,
    /// The set of generation `g`.
    Same(Arc<HeldSet>, Custody),
    /// A newer set, from a flight that landed within the last 30 s or one that the store has refused.
    Newer(Arc<HeldSet>, Custody),
    /// Nothing that helps: read the entry, ask the store.
    Unknown,
}

#[derive(Default)]
struct Grant {
    home: Option<Id>,
    /// Where it lived before, the last one last.
    left: Vec<Id>,
    newest: Option<(Arc<HeldSet>, Custody)>,
    ended: Option<Ending>,
    landed_at: Option<Duration>,
    setback: Option<Setback>,
    /// A task tries to write the pending set.
    has_writer: bool,
    pins: usize,
    /// Asked for since the last sweep. The fast path notes no more: a look at the clock costs as much as all else it does here.
    in_use: AtomicBool,
    /// On the monotonic clock.
    used_at: Duration,
}

impl Ledger {
    pub(crate) fn new(clock: Clock, limit: usize) -> Self {
        let swept_at = AtomicU64::new(millis(clock.monotonic()));
        Self {
            grants: DashMap::default(),
            left: DashMap::new(),
            clock,
            bytes: AtomicUsize::new(0),
            limit,
            swept_at,
        }
    }

    /// The fast path's question.
    pub(crate) fn look_up(&self, grant: GrantId, held: Generation) -> Lookup {
        let Some(known) = self.grants.get(&grant) else {
            return Lookup::Unknown;
        };
        known.in_use.store(true, Ordering::Relaxed);
        if known.ended.is_some() {
            return Lookup::Ended;
        }
        match &known.newest {
            Some((set, custody)) if set.generation == held => Lookup::Same(set.clone(), *custody),
            Some((set, custody)) if set.generation > held => {
                let now = self.clock.monotonic();
                let late =
                    known.landed_at.is_some_and(|landed_at| now.saturating_sub(landed_at) <= LATE);
                match custody {
                    // Nobody has it before the store does: whoever asks now waits for its flight like all the others.
                    Custody::Landing => Lookup::Unknown,
                    Custody::Record | Custody::Uncarried if !late => Lookup::Unknown,
                    _ => Lookup::Newer(set.clone(), *custody),
                }
            }
            _ => Lookup::Unknown,
        }
    }

    pub(crate) fn ending(&self, grant: GrantId) -> Option<Ending> {
        self.grants.get(&grant).and_then(|known| known.ended)
    }

    pub(crate) fn home(&self, grant: GrantId) -> Option<Id> {
        self.grants.get(&grant).and_then(|known| known.home)
    }

    pub(crate) fn newest(&self, grant: GrantId) -> Option<(Arc<HeldSet>, Custody)> {
        self.grants.get(&grant).and_then(|known| known.newest.clone())
    }

    /// Takes in a set that was found in, or taken from, the store. An older one than the known is not taken, nor one of an
    /// ended grant. Gives back the newest of the two.
    pub(crate) fn learn(&self, set: Arc<HeldSet>, custody: Custody) -> Arc<HeldSet> {
        let mut known = self.touch(set.grant);
        if known.ended.is_some() {
            return set;
        }
        match &known.newest {
            Some((newest, _)) if newest.generation >= set.generation => newest.clone(),
            _ => {
                let full = self.is_over_limit(set.weight());
                if !(full && custody == Custody::Record && known.pins == 0) {
                    self.replace(&mut known, Some((set.clone(), custody)));
                }
                set
            }
        }
    }

    /// Takes in what a flight brought, before the store has it. An ended grant takes nothing and says how it ended.
    pub(crate) fn publish(&self, set: &Arc<HeldSet>) -> Result<(), Ending> {
        let mut known = self.touch(set.grant);
        if let Some(ending) = known.ended {
            return Err(ending);
        }
        known.landed_at = Some(self.clock.monotonic());
        known.setback = None;
        self.replace(&mut known, Some((set.clone(), Custody::Landing)));
        Ok(())
    }

    /// Notes who else holds the newest set, if that is still `generation`.
    pub(crate) fn entrust(&self, grant: GrantId, generation: Generation, to: Custody) {
        if let Some(mut known) = self.grants.get_mut(&grant)
            && let Some((set, custody)) = &mut known.newest
            && set.generation == generation
        {
            *custody = to;
        }
    }

    /// Notes that the grant lives under `home` now. Gives back where it lived before.
    pub(crate) fn moved(&self, grant: GrantId, home: Id) -> Option<Id> {
        self.touch(grant).home.replace(home)
    }

    /// Notes that the grant no longer lies under `id`.
    pub(crate) fn leave(&self, grant: GrantId, id: Id) {
        self.left.insert(id, (grant, self.clock.monotonic()));
        let left = &mut self.touch(grant).left;
        left.retain(|known| *known != id);
        left.push(id);
        let too_many = left.len().saturating_sub(IDS_LEFT);
        left.drain(..too_many);
    }

    /// The grant that has left `id`.
    pub(crate) fn gone_from(&self, id: Id) -> Option<GrantId> {
        self.left.get(&id).map(|left| left.0)
    }

    /// The session ids that the grant has left lately.
    pub(crate) fn left_by(&self, grant: GrantId) -> Vec<Id> {
        self.grants.get(&grant).map(|known| known.left.clone()).unwrap_or_default()
    }

    /// The grant's home; `otherwise` becomes its home if none is known.
    pub(crate) fn home_or(&self, grant: GrantId, otherwise: Id) -> Id {
        *self.touch(grant).home.get_or_insert(otherwise)
    }

    /// Marks the grant ended and lets go of its set, which is given back. The gravest ending stands: a log out after a replacement is
    /// a log out.
    pub(crate) fn end(&self, grant: GrantId, ending: Ending) -> Option<Arc<HeldSet>> {
        let mut known = self.touch(grant);
        known.ended = known.ended.max(Some(ending));
        self.replace(&mut known, None)
    }

    /// Keeps everything of the grant while a flight or a create is under way.
    pub(crate) fn pin(self: &Arc<Self>, grant: GrantId) -> Pin {
        self.touch(grant).pins += 1;
        Pin { ledger: self.clone(), grant }
    }

    /// How many grants and how many bytes of token sets are held.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.grants.len(), self.bytes.load(Ordering::Relaxed))
    }

    fn touch(&self, grant: GrantId) -> RefMut<'_, GrantId, Grant> {
        self.sweep_if_due();
        let mut known = match self.grants.entry(grant) {
            Entry::Occupied(known) => known.into_ref(),
            Entry::Vacant(vacant) => vacant.insert(Grant::default()),
        };
        known.used_at = self.clock.monotonic();
        known
    }

    fn is_over_limit(&self, more: usize) -> bool {
        self.bytes.load(Ordering::Relaxed) + more > self.limit
    }

    fn replace(
        &self,
        known: &mut Grant,
        newest: Option<(Arc<HeldSet>, Custody)>,
    ) -> Option<Arc<HeldSet>> {
        self.bytes.fetch_add(newest.as_ref().map_or(0, |(set, _)| set.weight()), Ordering::Relaxed);
        let before = std::mem::replace(&mut known.newest, newest);
        let before = before.map(|(set, _)| set);
        self.bytes.fetch_sub(before.as_ref().map_or(0, |set| set.weight()), Ordering::Relaxed);
        before
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (grants, bytes) = self.usage();
        f.debug_struct("Ledger").field("grants", &grants).field("bytes", &bytes).finish()
    }
}

/// Keeps what the ledger knows of a grant for as long as it lives.
pub(crate) struct Pin {
    ledger: Arc<Ledger>,
    grant: GrantId,
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(mut known) = self.ledger.grants.get_mut(&self.grant) {
            known.pins = known.pins.saturating_sub(1);
            let recorded = matches!(known.newest, Some((_, Custody::Record)));
            if known.pins == 0 && recorded && self.ledger.is_over_limit(0) {
                self.ledger.replace(&mut known, None);
            }
        }
    }
}

#[cfg(test)]
mod tests;
