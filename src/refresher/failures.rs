//! What the parts below report, as the one error a request sees.

use std::{sync::Arc, time::Duration};

use tower_sessions::{session, session_store};

use crate::{
    endpoint::{EndpointError, EndpointErrorKind},
    error::{RefreshError, RefreshErrorKind},
};

/// When to come back where nobody says.
const SOON: Duration = Duration::from_secs(1);

pub(super) fn internal() -> RefreshError {
    RefreshError::new(
        RefreshErrorKind::Internal,
        "a task of the token refresh panicked or was shut down",
    )
}

pub(super) fn logged_out() -> RefreshError {
    RefreshError::new(RefreshErrorKind::LoggedOut, "this login has ended")
}

pub(super) fn unavailable(message: &'static str) -> RefreshError {
    unavailable_for(SOON, message)
}

pub(super) fn unavailable_for(wait: Duration, message: &'static str) -> RefreshError {
    RefreshError::new(RefreshErrorKind::Unavailable, message).with_retry_after(wait)
}

pub(super) fn wait_timeout() -> RefreshError {
    let message = "the refresh takes longer than a request waits";
    RefreshError::new(RefreshErrorKind::WaitTimeout, message).with_retry_after(SOON)
}

pub(super) fn misconfigured(message: impl Into<Arc<str>>) -> RefreshError {
    RefreshError::new(RefreshErrorKind::Misconfigured, message)
}

/// Why is in the log: the answer is for the user, who can only log in again.
pub(super) fn sealed_shut() -> RefreshError {
    let why = "the session's tokens are sealed and this process cannot open them";
    RefreshError::new(RefreshErrorKind::SessionExpired, why)
}

pub(super) fn unguarded() -> RefreshError {
    misconfigured(
        "the session does not come through this refresher's guarded store: build the session layer with \
         `refresher.session_layer()` (tower-sessions 0.14), not with `SessionManagerLayer::new(store)`, and build one refresher \
         per process and provider, cloned wherever it is needed",
    )
}

/// A store's own words for an undecodable record may quote it, so only those of a failing backend are passed on.
pub(super) fn session_failed(error: session::Error) -> RefreshError {
    match error {
        session::Error::Store(error) => store_failed(error),
        session::Error::SerdeJson(_) => {
            misconfigured("a session value could not be converted to or from JSON")
        }
    }
}

pub(super) fn store_failed(error: session_store::Error) -> RefreshError {
    match error {
        session_store::Error::Backend(_) => {
            unavailable("the session store failed").with_source(error)
        }
        session_store::Error::Encode(_) => {
            misconfigured("the session store could not encode a record")
        }
        session_store::Error::Decode(_) => {
            misconfigured("the session store could not decode a record")
        }
    }
}

pub(super) fn endpoint_failed(error: EndpointError) -> RefreshError {
    let (kind, retry_after) = match error.kind() {
        EndpointErrorKind::Unreachable | EndpointErrorKind::NoAnswer => {
            (RefreshErrorKind::Unavailable, Some(SOON))
        }
        EndpointErrorKind::Unavailable { retry_after } => {
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
