use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_pause_is_never_shorter_than_asked_for_and_spreads_those_that_failed_together() {
    let pauses = |kind| {
        let error = EndpointError::new(kind);
        [0, u32::MAX].map(|random| pause_before_retry(&error, random))
    };
    let unavailable = |retry_after| Kind::Unavailable { retry_after };
    assert_eq!(pauses(Kind::Unreachable), [Some(SECOND / 20), Some(SECOND / 10)]);
    assert_eq!(
        pauses(Kind::TryLater { retry_after: Some(SECOND) }),
        [Some(SECOND), Some(SECOND * 5 / 4)]
    );
    assert_eq!(pauses(unavailable(None)), [Some(SECOND), Some(SECOND * 5 / 4)]);
    assert_eq!(pauses(unavailable(Some(SECOND * 4))), [Some(SECOND * 4), Some(SECOND * 5)]);
}
