//! Every metric: its name, what it measures, and in which unit.

use metrics::Unit;

pub(super) const SERVED: &str = "token_refresh_served_total";
pub(super) const WAIT: &str = "token_refresh_wait_seconds";
pub(super) const LATE_CALLERS: &str = "token_refresh_late_callers_total";
pub(super) const FLIGHTS: &str = "token_refresh_flights_total";
pub(super) const FLIGHT_DURATION: &str = "token_refresh_flight_duration_seconds";
pub(super) const STAGE_DURATION: &str = "token_refresh_stage_duration_seconds";
pub(super) const FLIGHT_WAITERS: &str = "token_refresh_flight_waiters";
pub(super) const REPLAYS: &str = "token_refresh_replays_total";
pub(super) const OVERDUE_MARKS: &str = "token_refresh_overdue_marks_total";
pub(super) const LOST_SWAPS: &str = "token_refresh_lost_swaps_total";
pub(super) const UNSAVED: &str = "token_refresh_unsaved_total";
pub(super) const UNSAVED_LOGINS: &str = "token_refresh_unsaved_logins";
pub(super) const LOGINS: &str = "token_refresh_logins_total";
pub(super) const LOGINS_ENDED: &str = "token_refresh_logins_ended_total";
pub(super) const REVOCATIONS: &str = "token_refresh_revocations_total";
pub(super) const BACK_CHANNEL: &str = "token_refresh_back_channel_total";
pub(super) const DROPPED_ID_TOKENS: &str = "token_refresh_dropped_id_tokens_total";
pub(super) const SECOND_PROCESS: &str = "token_refresh_second_process_total";
pub(super) const CLOCK_SKEW: &str = "token_refresh_clock_skew_total";
pub(super) const TOKEN_REQUEST: &str = "token_refresh_token_request_duration_seconds";
pub(super) const RESENT: &str = "token_refresh_resent_total";
pub(super) const REFUSED: &str = "token_refresh_refused_total";
pub(super) const BREAKER_OPENED: &str = "token_refresh_breaker_opened_total";
pub(super) const BREAKER_STATE: &str = "token_refresh_breaker_state";
pub(super) const DROPPED_SAVES: &str = "token_refresh_dropped_saves_total";
pub(super) const API_401: &str = "token_refresh_api_401_total";
pub(super) const SERVICE_TOKENS: &str = "token_refresh_service_tokens_total";
pub(super) const LOCK_ACQUIRE: &str = "token_refresh_lock_acquire_duration_seconds";
pub(super) const LOCKS_HELD: &str = "token_refresh_locks_held";
pub(super) const LEASES_LOST: &str = "token_refresh_leases_lost_total";

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// Of seconds, or of callers.
    Histogram(Unit),
}
use Kind::{Counter, Gauge, Histogram};

/// As the table of `docs/operations.md` has them.
const ALL: [(&str, Kind, &str); 30] = [
    (SERVED, Counter, "tokens given to requests"),
    (WAIT, Histogram(Unit::Seconds), "how long a request waited for a refresh"),
    (LATE_CALLERS, Counter, "requests whose refresh had ended just before they asked"),
    (FLIGHTS, Counter, "refreshes that ended"),
    (FLIGHT_DURATION, Histogram(Unit::Seconds), "how long a refresh took"),
    (STAGE_DURATION, Histogram(Unit::Seconds), "how long a stage of a refresh took"),
    (FLIGHT_WAITERS, Histogram(Unit::Count), "how many requests waited at the end of a refresh"),
    (REPLAYS, Counter, "refresh tokens presented again after a lost answer"),
    (OVERDUE_MARKS, Counter, "marks of other processes that were past their deadline"),
    (LOST_SWAPS, Counter, "writes for which another process was faster"),
    (UNSAVED, Counter, "new token sets and endings that the token store refused"),
    (UNSAVED_LOGINS, Gauge, "logins of which the token store lacks something"),
    (LOGINS, Counter, "logins that began"),
    (LOGINS_ENDED, Counter, "endings that the token store has taken"),
    (REVOCATIONS, Counter, "revocations at the provider"),
    (BACK_CHANNEL, Counter, "logout tokens from the provider"),
    (DROPPED_ID_TOKENS, Counter, "refreshed ID tokens that were not kept"),
    (SECOND_PROCESS, Counter, "refreshes of another process in a token store for one process"),
    (CLOCK_SKEW, Counter, "reads of the token store whose clock differed by more than 5 s"),
    (TOKEN_REQUEST, Histogram(Unit::Seconds), "how long a token request took"),
    (RESENT, Counter, "token requests sent again, as the provider had not acted on them"),
    (REFUSED, Counter, "token requests not sent, to spare the provider"),
    (BREAKER_OPENED, Counter, "times the circuit breaker opened"),
    (BREAKER_STATE, Gauge, "0: closed, 1: one request probes the provider, 2: open"),
    (DROPPED_SAVES, Counter, "saves of sessions that were no longer in the store"),
    (API_401, Counter, "401s of APIs that the bearer layer met"),
    (SERVICE_TOKENS, Counter, "requests for tokens of the application itself"),
    (LOCK_ACQUIRE, Histogram(Unit::Seconds), "how long a lock was waited for"),
    (LOCKS_HELD, Gauge, "locks held now"),
    (LEASES_LOST, Counter, "locks lost before they were released"),
];

/// Tells the recorder what each metric is.
pub(crate) fn describe() {
    for (name, kind, what) in ALL {
        match kind {
            Counter => metrics::describe_counter!(name, Unit::Count, what),
            Gauge => metrics::describe_gauge!(name, Unit::Count, what),
            Histogram(unit) => metrics::describe_histogram!(name, unit, what),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_metric_is_named_as_prometheus_names_its_kind() {
        let names: BTreeSet<_> = ALL.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names.len(), ALL.len());
        for (name, kind, _) in ALL {
            assert!(name.starts_with("token_refresh_"), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Counter), "{name}");
            let in_seconds = matches!(kind, Histogram(Unit::Seconds));
            assert_eq!(name.ends_with("_seconds"), in_seconds, "{name}");
        }
    }

    #[test]
    fn the_documentation_has_each_metric_with_its_meaning() {
        let table = include_str!("../../docs/operations.md");
        let rows: Vec<_> =
            table.lines().filter(|line| line.starts_with("| `token_refresh_")).collect();
        assert_eq!(rows.len(), ALL.len());
        for ((name, kind, what), row) in ALL.into_iter().zip(rows) {
            let kind = match kind {
                Counter => "counter",
                Gauge => "gauge",
                Histogram(_) => "histogram",
            };
            let start = format!("| `{name}` | {kind} |");
            assert!(
                row.starts_with(&start) && row.contains(what),
                "{row}\nshould be {start} {what}"
            );
        }
    }
}
