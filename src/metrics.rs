//! Counters, by the `metrics` facade: they cost next to nothing until the application installs a recorder.
//!
//! | name | labels | counts |
//! |---|---|---|
//! | `token_refresh_flights_total` | `outcome`: `refreshed`, `already_newer`, or the kind of the error | flights that ended |
//! | `token_refresh_pending_total` | | new sets the session store did not take within the write-back limit |
//! | `token_refresh_replays_total` | | refresh tokens presented again after an attempt without a usable answer |
//! | `token_refresh_dropped_id_tokens_total` | `reason`: `unverified`, or `no_keys` to verify them by | refreshed ID tokens that were not kept |
//! | `token_refresh_dropped_saves_total` | | saves of sessions that are no longer in the store |

/// How a flight ended, as a label.
pub(crate) fn flight_ended(outcome: &'static str) {
    metrics::counter!("token_refresh_flights_total", "outcome" => outcome).increment(1);
}

pub(crate) fn set_pending() {
    metrics::counter!("token_refresh_pending_total").increment(1);
}

pub(crate) fn id_token_dropped(reason: &'static str) {
    metrics::counter!("token_refresh_dropped_id_tokens_total", "reason" => reason).increment(1);
}

pub(crate) fn save_dropped() {
    metrics::counter!("token_refresh_dropped_saves_total").increment(1);
}

pub(crate) fn replayed() {
    metrics::counter!("token_refresh_replays_total").increment(1);
}
