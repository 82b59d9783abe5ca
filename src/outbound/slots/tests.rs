use super::*;
use crate::testing::ManualClock;

fn slots(most: u64) -> Arc<Slots> {
    let (policy, clock) = (RefreshPolicy::default(), ManualClock::new().clock());
    Slots::new(most, None, policy, Duration::from_secs(60), clock)
}

fn key(number: u8) -> RecordKey {
    RecordKey::from_bytes([number; 16])
}

/// However often the others were asked for: whoever comes would get a new token for each call.
#[test]
fn a_newcomer_pushes_out_whoever_was_not_asked_for_longest() {
    let slots = slots(10);
    for _ in 0..100 {
        for number in 0..10 {
            slots.slot(key(number));
        }
    }
    let newcomer = slots.slot(key(10));
    slots.by_key.run_pending_tasks();
    assert!(Arc::ptr_eq(&slots.slot(key(10)), &newcomer));
    assert!(!slots.by_key.contains_key(&key(0)));
    assert!(slots.by_key.contains_key(&key(9)));
}
