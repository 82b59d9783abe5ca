//! What the parts below report, as the one error that a request sees.

use std::{error::Error, sync::Arc, time::Duration};

use tower_sessions::session;

use crate::{
    endpoint::{EndpointError, EndpointErrorKind},
    error::{RefreshError, RefreshErrorKind},
    session::{Pointer, PointerError},
    token_store::{EndingReason, RecordError, StoreError},
};

/// When to come back where nobody says.
pub(crate) const SOON: Duration = Duration::from_secs(1);

pub(crate) fn internal() -> RefreshError {
    let message = "a task of the token refresh panicked or was shut down";
    RefreshError::new(RefreshErrorKind::Internal, message)
}

pub(crate) fn logged_out() -> RefreshError {
    RefreshError::new(RefreshErrorKind::LoggedOut, "this login has ended")
}

pub(super) fn expired(why: &'static str) -> RefreshError {
    RefreshError::new(RefreshErrorKind::SessionExpired, why)
}

pub(super) fn subject_changed() -> RefreshError {
    let message =
        "the provider's new tokens are another user's or another issuer's: the login has ended";
    RefreshError::new(RefreshErrorKind::SubjectChanged, message)
}

pub(super) fn no_record() -> RefreshError {
    expired("the token store does not have this login")
}

/// What a request is told whose login ended for `reason`.
pub(super) fn ended(reason: EndingReason) -> RefreshError {
    match reason {
        EndingReason::Expired => expired("the login has expired"),
        EndingReason::SubjectChanged => subject_changed(),
        _ => logged_out(),
    }
}

/// Of a store that is down, or panics: it ends nothing.
pub(crate) fn is_outage(error: &RefreshError) -> bool {
    matches!(error.kind(), RefreshErrorKind::Unavailable | RefreshErrorKind::Internal)
}

pub(crate) fn unavailable(message: &'static str) -> RefreshError {
    unavailable_for(SOON, message)
}

pub(super) fn unavailable_for(wait: Duration, message: &'static str) -> RefreshError {
    RefreshError::new(RefreshErrorKind::Unavailable, message).with_retry_after(wait)
}

/// Another process refreshes the login.
#[derive(Debug, thiserror::Error)]
#[error("its mark is in the token record")]
struct UnderWayElsewhere;

/// A flight that ends because somebody else's goes on.
pub(super) fn under_way_elsewhere(rest: Duration) -> RefreshError {
    let rest = if rest.is_zero() { SOON } else { rest };
    unavailable_for(rest, "another process refreshes this login").with_source(UnderWayElsewhere)
}

pub(super) fn is_under_way_elsewhere(error: &RefreshError) -> bool {
    error.source().is_some_and(|source| source.is::<UnderWayElsewhere>())
}

pub(crate) fn wait_timeout(retry_after: Duration) -> RefreshError {
    let message = "the refresh takes longer than a request waits";
    RefreshError::new(RefreshErrorKind::WaitTimeout, message).with_retry_after(retry_after)
}

pub(crate) fn misconfigured(message: impl Into<Arc<str>>) -> RefreshError {
    RefreshError::new(RefreshErrorKind::Misconfigured, message)
}

pub(crate) fn lacks_dpop_key() -> RefreshError {
    misconfigured("the tokens are bound to a DPoP key, which `TokenSet::with_dpop_key` must name")
}

/// The log says which key: the answer is for the user, who can only log in again.
pub(super) fn sealed_shut() -> RefreshError {
    expired("the tokens are sealed, and this process has no key that opens them")
}

pub(super) fn pointer_failed(pointer: &Pointer, error: PointerError) -> RefreshError {
    match error {
        PointerError::Session(error) => session_failed(error),
        PointerError::Malformed => misconfigured(format!(
            "the session's {:?} entry was not written by this crate",
            pointer.key()
        )),
    }
}

/// A store's own words for an undecodable record may quote it, so only those of a failing backend
/// are passed on.
pub(super) fn session_failed(error: session::Error) -> RefreshError {
    use tower_sessions::session_store::Error;
    match error {
        session::Error::Store(error @ Error::Backend(_)) => {
            unavailable("the session store failed").with_source(error)
        }
        session::Error::Store(Error::Encode(_)) => {
            misconfigured("the session store could not encode a record")
        }
        session::Error::Store(Error::Decode(_)) => {
            misconfigured("the session store could not decode a record")
        }
        session::Error::SerdeJson(_) => {
            misconfigured("a session value could not be converted to or from JSON")
        }
    }
}

pub(super) fn store_failed(error: StoreError) -> RefreshError {
    match &error {
        StoreError::Backend(_) => unavailable("the token store failed").with_source(error),
        StoreError::Record(record) => record_failed(record),
    }
}

pub(super) fn record_failed(error: &RecordError) -> RefreshError {
    match error {
        RecordError::NewerVersion { .. } => {
            let message = "a later release of this crate wrote the token record";
            unavailable(message).with_source(error.clone())
        }
        RecordError::Malformed { .. } => {
            misconfigured("the token record cannot be read").with_source(error.clone())
        }
    }
}

/// What may pass by itself, before it has come twice.
pub(crate) fn passing(error: EndpointError) -> RefreshError {
    let message = format!("{error}; that may pass, and is tried again");
    let wait = match error.kind() {
        EndpointErrorKind::TryLater { retry_after: Some(wait) } => *wait,
        _ => SOON,
    };
    RefreshError::new(RefreshErrorKind::Unavailable, message)
        .with_retry_after(wait)
        .with_cause(error.into_cause())
}

pub(crate) fn endpoint_failed(error: EndpointError) -> RefreshError {
    let (kind, retry_after) = match error.kind() {
        EndpointErrorKind::Unreachable
        | EndpointErrorKind::NoCredentials
        | EndpointErrorKind::NoAnswer => (RefreshErrorKind::Unavailable, Some(SOON)),
        // It has stayed.
        EndpointErrorKind::TryLater { .. } if error.is_passing() => {
            (RefreshErrorKind::InvalidResponse, None)
        }
        EndpointErrorKind::Unavailable { retry_after }
        | EndpointErrorKind::TryLater { retry_after } => {
            (RefreshErrorKind::Unavailable, Some(retry_after.unwrap_or(SOON)))
        }
        EndpointErrorKind::InvalidGrant => (RefreshErrorKind::SessionExpired, None),
        EndpointErrorKind::InvalidResponse { .. } => (RefreshErrorKind::InvalidResponse, None),
        EndpointErrorKind::Rejected { .. } | EndpointErrorKind::Misconfigured => {
            (RefreshErrorKind::Misconfigured, None)
        }
    };
    let failed = RefreshError::new(kind, error.to_string());
    match retry_after {
        Some(after) => failed.with_retry_after(after),
        None => failed,
    }
    .with_cause(error.into_cause())
}
