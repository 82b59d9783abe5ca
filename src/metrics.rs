//! Counters of the `metrics` facade. They cost nearly nothing until the application installs a
//! recorder. `docs/operations.md` has the table of names, labels and meanings.

/// How a flight ended, as a label.
pub(crate) fn flight_ended(outcome: &'static str) {
    metrics::counter!("token_refresh_flights_total", "outcome" => outcome).increment(1);
}

pub(crate) fn set_unsaved() {
    metrics::counter!("token_refresh_unsaved_total").increment(1);
}

pub(crate) fn login_ended(reason: &'static str) {
    metrics::counter!("token_refresh_logins_ended_total", "reason" => reason).increment(1);
}

pub(crate) fn second_process() {
    metrics::counter!("token_refresh_second_process_total").increment(1);
}

pub(crate) fn clock_skewed() {
    metrics::counter!("token_refresh_clock_skew_total").increment(1);
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

pub(crate) fn back_channel(outcome: &'static str) {
    metrics::counter!("token_refresh_back_channel_total", "outcome" => outcome).increment(1);
}

pub(crate) fn request_resent() {
    metrics::counter!("token_refresh_resent_total").increment(1);
}

pub(crate) fn request_refused(reason: &'static str) {
    metrics::counter!("token_refresh_refused_total", "reason" => reason).increment(1);
}

/// What became of a 401 of an API, as a label.
pub(crate) fn api_refused(outcome: &'static str) {
    metrics::counter!("token_refresh_api_401_total", "outcome" => outcome).increment(1);
}

/// How a request for a token of the application itself ended, or for one by token exchange.
pub(crate) fn service_token(outcome: &'static str) {
    metrics::counter!("token_refresh_service_tokens_total", "outcome" => outcome).increment(1);
}

pub(crate) fn breaker_opened() {
    metrics::counter!("token_refresh_breaker_opened_total").increment(1);
}
