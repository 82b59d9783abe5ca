//! Who writes a grant's pending set to the store: one task, or nobody where nothing is pending.

use std::sync::Arc;

use super::{Custody, Grant, Ledger};
use crate::grant::{GrantId, HeldSet};

impl Ledger {
    /// Whether the caller is to write the grant's pending set from now on. Nobody else is told so until
    /// [`writer_goes_on`](Self::writer_goes_on) says that it is done.
    pub(crate) fn appoint_writer(&self, grant: GrantId) -> bool {
        let mut known = self.touch(grant);
        known.pending().is_some() && !std::mem::replace(&mut known.has_writer, true)
    }

    /// The set that the writer is to try next. None: nothing is pending, or the set is not `worth_it`, and the grant has no writer any
    /// more. One step, so that a set which a flight leaves at this moment is either given to this writer or appoints the next.
    pub(crate) fn writer_goes_on(
        &self,
        grant: GrantId,
        worth_it: impl FnOnce(&HeldSet) -> bool,
    ) -> Option<Arc<HeldSet>> {
        let mut known = self.touch(grant);
        let next = known.pending().filter(|set| worth_it(set)).cloned();
        known.has_writer = next.is_some();
        next
    }
}

impl Grant {
    fn pending(&self) -> Option<&Arc<HeldSet>> {
        match &self.newest {
            Some((set, Custody::Pending)) => Some(set),
            _ => None,
        }
    }
}
