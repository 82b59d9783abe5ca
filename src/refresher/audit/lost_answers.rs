//! Endings that this process has sent, and whose answer got lost: the token store may have taken
//! each of them or not. What it holds later says so, as each ending has a nonce of its own.

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;

use super::Whose;
use crate::{token_store::Nonce, tokens::RecordKey};

/// How many logins with such endings are remembered. Beyond that, a line may be missing.
const REMEMBERED: usize = 100_000;
/// And how many of one login, whose user logs out again and again.
const MOST_OF_A_LOGIN: usize = 16;

#[derive(Default)]
pub(super) struct LostAnswers(DashMap<RecordKey, Vec<(Nonce, Whose)>, FxBuildHasher>);

impl LostAnswers {
    pub(super) fn add(&self, login: RecordKey, ending: Nonce, whose: Whose) {
        if self.0.len() > REMEMBERED {
            self.0.clear();
        }
        let mut sent = self.0.entry(login).or_default();
        if sent.len() < MOST_OF_A_LOGIN {
            sent.push((ending, whose));
        }
    }

    /// The store holds `ending`: whose login that was, if it is one of these. Says so once.
    pub(super) fn take(&self, login: RecordKey, ending: Nonce) -> Option<Whose> {
        // The others have not been taken, and will not be: the first ending stays.
        let (_, sent) = self.0.remove(&login)?;
        sent.into_iter().find_map(|(nonce, whose)| (nonce == ending).then_some(whose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RecordKey = RecordKey::from_bytes([7; 16]);

    #[test]
    fn an_ending_that_the_store_holds_is_ones_own_once() {
        let (lost, [first, second]) = (LostAnswers::default(), [(); 2].map(|()| Nonce::random()));
        lost.add(KEY, first, Whose::default());
        lost.add(KEY, second, Whose::default());
        assert!(lost.take(RecordKey::from_bytes([8; 16]), first).is_none());
        assert!(lost.take(KEY, second).is_some());
        assert!(lost.take(KEY, second).is_none());
    }

    #[test]
    fn an_ending_of_another_process_is_not_ones_own_and_settles_it() {
        let (lost, own) = (LostAnswers::default(), Nonce::random());
        lost.add(KEY, own, Whose::default());
        assert!(lost.take(KEY, Nonce::random()).is_none());
        assert!(lost.take(KEY, own).is_none(), "the first ending stays");
    }

    #[test]
    fn memory_is_bounded() {
        let lost = LostAnswers::default();
        let key = |nth: usize| RecordKey::from_bytes((nth as u128).to_be_bytes());
        for nth in 0..(REMEMBERED + 10) {
            lost.add(key(nth), Nonce::random(), Whose::default());
        }
        assert!(lost.0.len() < 100);
        for _ in 0..(2 * MOST_OF_A_LOGIN) {
            lost.add(KEY, Nonce::random(), Whose::default());
        }
        assert_eq!(lost.0.get(&KEY).map(|sent| sent.len()), Some(MOST_OF_A_LOGIN));
    }
}
