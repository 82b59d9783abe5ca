//! What the stage has seen: every token set, and what became of its refresh token.

use tower_token_refresh::tower_sessions::session::{Id, Record};

use super::{Entry, KEY, Set, Stage, State, USER};

/// A token set that the store or this application's process has got.
pub(super) struct Seen {
    pub(super) set: Set,
    /// It was in the store at some time.
    pub(super) stored: bool,
}

impl Stage {
    pub(super) fn see(&self, set: Set, stored: bool) {
        let mut state = self.state();
        let seen = state.seen.entry(set.refresh.clone()).or_insert(Seen { set, stored });
        seen.stored |= stored;
    }

    pub fn was_stored(&self, access_token: &str) -> bool {
        self.state().seen.values().any(|seen| seen.stored && seen.set.access == access_token)
    }

    /// Every refresh token, and whose it is.
    pub fn refresh_tokens(&self) -> Vec<(String, String)> {
        let state = self.state();
        state
            .seen
            .values()
            .map(|Seen { set, .. }| (set.subject.clone(), set.refresh.clone()))
            .collect()
    }

    /// The live sets of `subject`, whatever record they lie in.
    pub fn live(&self, subject: &str) -> Vec<Set> {
        let sets = self
            .state()
            .records
            .values()
            .filter_map(|record| Entry::of(record).into_set())
            .collect::<Vec<_>>();
        sets.into_iter().filter(|set| set.subject == subject).collect()
    }

    pub fn has_record(&self, id: Id) -> bool {
        self.state().records.contains_key(&id)
    }

    /// Whether some session holds what the application has put there for `user`.
    pub fn remembers(&self, user: &str) -> bool {
        self.state()
            .records
            .values()
            .any(|record| record.data.get(USER).is_some_and(|value| value == user))
    }

    /// Something that is not ours takes the tokens out of a record.
    pub fn wipe(&self, id: Id) {
        if let Some(record) = self.state().records.get_mut(&id) {
            record.data.remove(KEY);
        }
    }

    /// Whether an answer that got lost has cost this login its tokens.
    pub fn has_lost(&self, subject: &str) -> bool {
        self.state().lost.iter().any(|lost| lost == subject)
    }

    pub fn has_lost_a_revocation(&self) -> bool {
        self.state().revocation_lost
    }

    pub fn failed_ever(&self, refresh: &str) -> bool {
        let state = self.state();
        state.in_doubt.iter().chain(&state.again).any(|failed| failed == refresh)
    }

    /// The process has ended: nobody remembers what is in doubt. Where the store has refused to the end, what it refused is lost, and the
    /// next process finds a token that is used up.
    pub(super) fn forget_with_the_process(&self) {
        let mut state = self.state();
        let State { seen, in_doubt, again, lost, refused_writes, .. } = &mut *state;
        again.append(in_doubt);
        if *refused_writes > 0 {
            let unwritten =
                seen.values().filter(|seen| !seen.stored).map(|seen| seen.set.subject.clone());
            lost.extend(unwritten);
            let of_the_lost = seen.values().filter(|seen| lost.contains(&seen.set.subject));
            again.extend(of_the_lost.map(|seen| seen.set.refresh.clone()));
        }
    }

    pub(super) fn write(&self, record: &Record) {
        if let Some(set) = Entry::of(record).into_set() {
            self.see(set, true);
        }
        self.state().records.insert(record.id, record.clone());
    }

    pub(super) fn judge_save(&self, record: &Record) {
        let broken = match (self.state().records.get(&record.id).map(Entry::of), &Entry::of(record))
        {
            (None, _) => Some("a save brought a deleted session back".to_owned()),
            (Some(Entry::Nothing), Entry::Live { .. }) => {
                Some("a save brought tokens into a record without".to_owned())
            }
            (Some(Entry::Tombstone { .. }), Entry::Live { .. } | Entry::Nothing) => {
                Some("a save took a tombstone away".to_owned())
            }
            (
                Some(Entry::Live { grant: stored, generation: newest, .. }),
                Entry::Live { grant, generation, .. },
            ) if stored == *grant && *generation < newest => {
                Some(format!("generation {generation} was written over {newest}"))
            }
            (Some(Entry::Live { grant: stored, .. }), Entry::Live { grant, .. })
                if stored != *grant =>
            {
                Some("a save put one grant over another".to_owned())
            }
            _ => None,
        };
        if let Some(broken) = broken {
            self.note_broken(broken);
        }
    }
}
