//! How long things stay, by the clock's monotonic side, counted from the last sweep that found them in use (there is one every 10 s
//! where logins come and go):
//!
//! | what | stays |
//! |---|---|
//! | a set that a finished record holds | 60 s, and no longer than memory allows |
//! | a set that no record holds yet (between `delete` and `create` of a `cycle_id`) | 10 min |
//! | a set the store refused so far (pending) | to the end of the refresh token's life; 24 h where the provider does not tell it |
//! | home, ended mark, the session ids a grant has left, when to try a failed refresh again | 10 min |
//! | that a refresh token may be used up | 24 h |
//! | anything of a grant with a flight or a create under way, or that its record has still to lose | until that is over |

use std::{sync::atomic::Ordering, time::Duration};

use super::{Custody, Grant, Ledger};

const SET_STAYS: Duration = Duration::from_secs(60);
const GRANT_STAYS: Duration = Duration::from_secs(10 * 60);
pub(super) const PENDING_STAYS: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(10);

impl Ledger {
    /// Runs when the map may grow, at most every ten seconds; the fast path never pays for it.
    pub(super) fn sweep_if_due(&self) {
        let now = self.clock.monotonic();
        let swept_at = self.swept_at.load(Ordering::Relaxed);
        let due = now.saturating_sub(Duration::from_millis(swept_at)) >= SWEEP_EVERY;
        let exchange = || {
            self.swept_at.compare_exchange(
                swept_at,
                millis(now),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
        };
        if due && exchange().is_ok() {
            self.grants.retain(|_, known| self.keep(known, now));
            self.left.retain(|_, (_, left_at)| now.saturating_sub(*left_at) < GRANT_STAYS);
        }
    }

    fn keep(&self, known: &mut Grant, now: Duration) -> bool {
        if known.pins > 0 {
            return true;
        }
        if std::mem::take(known.in_use.get_mut()) {
            known.used_at = now;
        }
        let unused = now.saturating_sub(known.used_at);
        let set_stays = match &known.newest {
            None => GRANT_STAYS,
            Some((_, Custody::Record)) if self.is_over_limit(0) => Duration::ZERO,
            Some((_, Custody::Record)) => SET_STAYS,
            Some((_, Custody::Uncarried)) => GRANT_STAYS,
            Some((set, Custody::Landing | Custody::Pending)) => match set.refresh_expires_at {
                Some(end) => {
                    end.duration_since(set.obtained_at).unwrap_or_default().max(GRANT_STAYS)
                }
                None => PENDING_STAYS,
            },
        };
        if unused >= set_stays {
            self.replace(known, None);
        }
        known.newest.is_some()
            || unused < GRANT_STAYS
            || (known.is_ambiguous() && unused < PENDING_STAYS)
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
