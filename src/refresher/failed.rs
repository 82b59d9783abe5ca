//! The end of a flight whose request to the provider brought no tokens.
//!
//! | the provider | what becomes of the login |
//! |---|---|
//! | refuses the refresh token | it ends, unless another process was faster |
//! | gives an answer that may mean the same | it lives on, until [`rejections`](super::rejections) says otherwise |
//! | refuses the client or the request | it lives on; the answer is kept for whoever asks next, for a while that doubles |
//! | wants this login to come back later | it lives on; nothing is sent before |
//! | has certainly not used the token up | it lives on, and its mark is taken back |
//! | may have used the token up | it lives on, in doubt: see [`presentation`](super::presentation) |

use super::{
    answer,
    errors::{endpoint_failed, passing},
    kept_answers::Repeat,
    marker::Marker,
    providers::AtProvider,
    records::Found,
    refresh::{Flight, Refreshed},
};
use crate::endpoint::{EndpointError, EndpointErrorKind as Kind};

pub(super) async fn failed(
    flight: &Flight<'_>,
    at: &AtProvider,
    found: &Found,
    marker: &Marker<'_>,
    error: EndpointError,
) -> Refreshed {
    let (core, key) = (flight.core, flight.asked.login.key);
    let generation = found.tokens.generation;
    if *error.kind() == Kind::InvalidGrant
        || marker.sent && counts_as_the_last(flight, at, found, &error)
    {
        return answer::refused(flight, &found.tokens).await;
    }
    // What came to no mark (the breaker is open) says nothing about what was sent before.
    if marker.presenting && !error.may_have_consumed() {
        core.presentations.not_consumed(key, generation);
        // A doubt that is older than this presentation stays, and the mark tells others of it.
        if !marker.replay && !core.presentations.was_in_doubt(key, generation) {
            marker.unmark().await;
        }
    }
    let failed = match marker.sent.then(|| repeats(&error)).flatten() {
        Some(repeat) => {
            let earlier = core.presentations.repeats(key, generation);
            let failed = if error.is_passing() && earlier.of(repeat) == 0 {
                passing(error)
            } else {
                endpoint_failed(error)
            };
            core.presentations.keep_answer(key, generation, earlier.and(repeat), &failed);
            failed
        }
        None => {
            let failed = endpoint_failed(error);
            if marker.sent {
                core.presentations.failed_otherwise(key);
            }
            let wait = failed.retry_after().unwrap_or_default();
            core.presentations.retry_not_before(key, generation, wait);
            failed
        }
    };
    Err(failed)
}

/// Whether the provider would answer the same again, so that the answer is kept for a while.
fn repeats(error: &EndpointError) -> Option<Repeat> {
    // What is in doubt has a pause of its own.
    error.would_repeat().then_some(match error.kind() {
        Kind::TryLater { .. } => Repeat::Later,
        _ => Repeat::Refusal,
    })
}

/// Notes an answer that may mean that the refresh token is dead. True if it is one too many. A good
/// access token is not thrown away for it.
fn counts_as_the_last(
    flight: &Flight<'_>,
    at: &AtProvider,
    found: &Found,
    error: &EndpointError,
) -> bool {
    let key = flight.asked.login.key;
    match error.kind() {
        Kind::Unreachable | Kind::NoCredentials | Kind::NoAnswer => false,
        _ if error.is_perhaps_dead() => {
            let is_enough = at.rejections.add(key, found.tokens.generation);
            let ends = is_enough && !flight.is_good(&found.tokens);
            if ends {
                at.rejections.forget(key);
                tracing::warn!(
                    login = %key,
                    %error,
                    "the provider answers this login alone in this way, again and again: the login \
                     ends, as its refresh token must be dead"
                );
            }
            ends
        }
        _ => {
            at.rejections.forget(key);
            false
        }
    }
}
