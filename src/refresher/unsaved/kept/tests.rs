use std::{sync::OnceLock, time::SystemTime};

use super::*;
use crate::token_store::{EndingReason, Nonce};

fn key(nth: u128) -> RecordKey {
    RecordKey::from_bytes(nth.to_be_bytes())
}

fn ending() -> Ending {
    Ending {
        reason: EndingReason::Logout,
        revoke: true,
        with_session: true,
        keep_until: SystemTime::UNIX_EPOCH,
        nonce: Nonce::random(),
    }
}

fn refuse(kept: &Kept, nth: u128) -> bool {
    kept.keep_ending(key(nth), ending());
    kept.refused(key(nth))
}

/// Two tasks that count and then report could do so in another order: the last report would be that
/// of an earlier change, and stand for ever.
#[test]
fn the_next_change_waits_until_the_last_one_is_reported() {
    let kept: Arc<OnceLock<Kept>> = Arc::default();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let (reported, its_kept) = (reports.clone(), Arc::downgrade(&kept));
    let made = Kept::new(move |logins| {
        let its_kept = its_kept.upgrade().expect("the test holds it");
        let may_change = its_kept.get().expect("made").refused.logins.try_lock().is_ok();
        reported.lock().unwrap().push((logins, may_change));
    });
    let kept = kept.get_or_init(|| made);
    assert!(refuse(kept, 1) && refuse(kept, 2));
    kept.release_ending(key(1), None);
    kept.release_ending(key(2), None);
    let expected = [(1, false), (2, false), (1, false), (0, false)];
    assert_eq!(*reports.lock().unwrap(), expected);
}

#[test]
fn a_login_counts_once_and_only_while_the_store_lacks_what_it_has_refused() {
    let kept = Kept::new(|_| ());
    kept.keep_ending(key(1), ending());
    assert_eq!(kept.count(), 0, "the store has not refused it");
    assert!(kept.refused(key(1)));
    assert!(!refuse(&kept, 1), "its writer is under way");
    refuse(&kept, 2);
    assert_eq!(kept.count(), 2);
    kept.release_ending(key(1), None);
    assert_eq!(kept.count(), 1);
    kept.release_ending(key(2), None);
    kept.release_ending(key(3), None);
    assert_eq!(kept.count(), 0);
}

/// A refusal comes between the last look of a writer and its end.
#[test]
fn a_writer_that_has_stopped_does_not_stop_the_next_one() {
    let kept = Kept::new(|_| ());
    assert!(refuse(&kept, 1));
    let mut first = kept.writer(key(1));
    assert!(!first.stop(), "there is something to write");
    kept.release_ending(key(1), None);
    assert!(first.stop());
    assert!(refuse(&kept, 1), "another one is needed");

    drop(first);

    assert!(!kept.refused(key(1)), "one login has one writer");
}

#[test]
fn after_a_writer_that_panicked_the_next_refusal_needs_another_one() {
    let kept = Kept::new(|_| ());
    assert!(refuse(&kept, 1));
    drop(kept.writer(key(1)));
    assert_eq!(kept.count(), 1);
    assert!(kept.refused(key(1)));
}
