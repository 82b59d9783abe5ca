//! Every metric: its name, what it measures, in which unit, and which values its label has.

use metrics::{Label, SharedString, Unit};

use super::{Outcome, ServedFrom};
use crate::{
    endpoint::HeldBack, error::RefreshErrorKind, operate::Stage, token_store::EndingReason,
};

/// Makes the list of all metrics from their constants, so that none is missing in it.
macro_rules! catalogue {
    ($($constant:ident = $metric:expr;)*) => {
        $(pub(super) const $constant: Metric = $metric;)*

        /// As the table of `docs/operations.md` has them.
        const ALL: &[Metric] = &[$($constant),*];
    };
}

catalogue! {
    SERVED = counter("token_refresh_served_total", "tokens given to requests")
        .label("from", &ServedFrom::NAMES);
    WAIT = seconds("token_refresh_wait_seconds", "how long a request waited for a refresh")
        .label("outcome", &["served", "served_old"]).or_kind();
    LATE_CALLERS = counter(
        "token_refresh_late_callers_total",
        "requests whose refresh had ended just before they asked");
    FLIGHTS = counter("token_refresh_flights_total", "refreshes that ended")
        .label("outcome", &Outcome::NAMES).or_kind();
    FLIGHT_DURATION = seconds("token_refresh_flight_duration_seconds", "how long a refresh took")
        .label("outcome", &Outcome::NAMES).or_kind();
    STAGE_DURATION = seconds(
        "token_refresh_stage_duration_seconds",
        "how long a stage of a refresh took",
    )
        .label("stage", &Stage::NAMES);
    FLIGHT_WAITERS = metric(
        "token_refresh_flight_waiters", Kind::Histogram(Unit::Count),
        "how many requests waited at the end of a refresh");
    REPLAYS = counter(
        "token_refresh_replays_total",
        "refresh tokens presented again after a lost answer",
    );
    OVERDUE_MARKS = counter(
        "token_refresh_overdue_marks_total",
        "marks of other processes that were past their deadline");
    LOST_SWAPS = counter(
        "token_refresh_lost_swaps_total",
        "writes for which another process was faster",
    )
        .label("write", &["mark", "put"]);
    UNSAVED = counter(
        "token_refresh_unsaved_total", "new token sets and endings that the token store refused")
        .label("what", &["tokens", "ending"]);
    UNSAVED_LOGINS = metric(
        "token_refresh_unsaved_logins",
        Kind::Gauge,
        "logins of which the token store lacks something");
    STORE_FAILURES = counter(
        "token_refresh_store_failures_total",
        "sessions that could not be read, and calls of the token store that failed")
        .label("store", &["session", "token"]);
    LOGINS = counter("token_refresh_logins_total", "logins that began");
    LOGINS_ENDED = counter(
        "token_refresh_logins_ended_total",
        "endings that the token store has taken",
    )
        .label("reason", &EndingReason::NAMES);
    REVOCATIONS = counter("token_refresh_revocations_total", "revocations at the provider")
        .label("outcome", &["revoked", "not_supported"]).or_kind();
    BACK_CHANNEL = counter("token_refresh_back_channel_total", "logout tokens from the provider")
        .label("outcome", &["ended", "refused", "under_way", "failed"]);
    DROPPED_ID_TOKENS = counter(
        "token_refresh_dropped_id_tokens_total", "refreshed ID tokens that were not kept")
        .of(Of::Provider).label("reason", &["unverified", "no_keys"]);
    SECOND_PROCESS = counter(
        "token_refresh_second_process_total",
        "refreshes of another process in a token store for one process");
    CLOCK_SKEW = counter(
        "token_refresh_clock_skew_total",
        "reads of the token store whose clock differed by more than 5 s");
    TOKEN_REQUEST = seconds(
        "token_refresh_token_request_duration_seconds", "how long a token request took")
        .of(Of::Requests).label("outcome", &[
            "granted", "invalid_grant", "rejected", "unavailable", "try_later", "unreachable",
            "no_answer", "invalid_response",
        ]);
    RESENT = counter(
        "token_refresh_resent_total",
        "token requests sent again, as the provider had not acted on them")
        .of(Of::Requests);
    REFUSED = counter(
        "token_refresh_refused_total",
        "token requests not sent, to spare the provider",
    )
        .of(Of::Requests).label("reason", &HeldBack::REASONS);
    BREAKER_OPENED = counter(
        "token_refresh_breaker_opened_total",
        "times the circuit breaker opened",
    )
        .of(Of::Requests);
    BREAKER_STATE = metric(
        "token_refresh_breaker_state",
        Kind::Gauge,
        "0: closed, 1: one request probes the provider, 2: open")
        .of(Of::Requests);
    DROPPED_SAVES = counter(
        "token_refresh_dropped_saves_total", "saves of sessions that were no longer in the store")
        .of(Of::Process);
    API_401 = counter("token_refresh_api_401_total", "401s of APIs that the bearer layer met")
        .of(Of::Process).label("outcome", &[
            "healed", "refused_again", "passed_on", "no_answer", "wants_nonce",
        ]);
    SERVICE_TOKENS = counter(
        "token_refresh_service_tokens_total", "requests for tokens of the application itself")
        .of(Of::Process).label("outcome", &["obtained"]).or_kind();
    LOCK_ACQUIRE = seconds(
        "token_refresh_lock_acquire_duration_seconds", "how long a lock was waited for")
        .of(Of::Lock).label("outcome", &[
            "acquired", "taken", "timeout", "unavailable", "invalid_key", "failed",
        ]);
    LOCKS_HELD = metric("token_refresh_locks_held", Kind::Gauge, "locks held now").of(Of::Lock);
    LEASES_LOST = counter("token_refresh_leases_lost_total", "locks lost before they were released")
        .of(Of::Lock);
}

/// One metric.
#[derive(Clone, Copy)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    kind: Kind,
    what: &'static str,
    of: Of,
    /// The one that it has besides, with its values.
    label: Option<(&'static str, &'static [&'static str])>,
    /// The label may also be the kind of an error.
    or_kind: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// Of seconds, or of callers.
    Histogram(Unit),
}

/// What is measured, and so the labels that a metric shares with others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// `issuer` and `client`.
    Refresher,
    /// The same.
    Provider,
    /// The same and `requests`: what they are for.
    Requests,
    /// `backend`.
    Lock,
    /// None.
    Process,
}

const fn metric(name: &'static str, kind: Kind, what: &'static str) -> Metric {
    Metric { name, kind, what, of: Of::Refresher, label: None, or_kind: false }
}

const fn counter(name: &'static str, what: &'static str) -> Metric {
    metric(name, Kind::Counter, what)
}

const fn seconds(name: &'static str, what: &'static str) -> Metric {
    metric(name, Kind::Histogram(Unit::Seconds), what)
}

impl Metric {
    const fn of(self, of: Of) -> Self {
        Self { of, ..self }
    }

    const fn label(self, label: &'static str, values: &'static [&'static str]) -> Self {
        Self { label: Some((label, values)), ..self }
    }

    const fn or_kind(self) -> Self {
        Self { or_kind: true, ..self }
    }

    /// The values of its label.
    fn values(&self) -> impl Iterator<Item = &'static str> {
        let own = self.label.map(|(_, values)| values).unwrap_or_default();
        let kinds: &[_] = if self.or_kind { &RefreshErrorKind::ALL } else { &[] };
        own.iter().copied().chain(kinds.iter().map(|kind| kind.name()))
    }

    /// Whether its label may be `value`.
    pub(super) fn knows(&self, value: &str) -> bool {
        self.values().any(|known| known == value)
    }

    /// Makes each series of a counter, at 0: `increase` sees no rise in one that begins with its
    /// first event. `shared`: the labels that it shares with others.
    pub(super) fn begin(&self, shared: &[(&'static str, SharedString)]) {
        let labels = |own: Option<(&'static str, &'static str)>| {
            let shared = shared.iter().map(|(label, value)| Label::new(*label, value.clone()));
            shared.chain(own.map(|(label, value)| Label::from_static_parts(label, value))).collect()
        };
        let begin = |labels: Vec<Label>| metrics::counter!(self.name, labels).increment(0);
        match self.label {
            None => begin(labels(None)),
            Some((label, _)) => self.values().for_each(|value| begin(labels(Some((label, value))))),
        }
    }
}

/// [Begins](Metric::begin) all counters of `of`.
pub(super) fn begin(of: Of, shared: &[(&'static str, SharedString)]) {
    let is_one = |metric: &&Metric| metric.of == of && matches!(metric.kind, Kind::Counter);
    ALL.iter().filter(is_one).for_each(|metric| metric.begin(shared));
}

/// Tells the recorder what each metric is.
pub(crate) fn describe() {
    for Metric { name, kind, what, .. } in ALL.iter().copied() {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, Unit::Count, what),
            Kind::Gauge => metrics::describe_gauge!(name, Unit::Count, what),
            Kind::Histogram(unit) => metrics::describe_histogram!(name, unit, what),
        }
    }
}

#[cfg(test)]
mod tests;
