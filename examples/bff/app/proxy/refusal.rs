//! Why a request is not passed on, or its answer is not passed back.

use std::iter;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;
use hyper_util::client::legacy;
use tower::BoxError;

/// Why there is no answer of the upstream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    Path,
    Host,
    Method,
    TransferCoding,
    BodyTooLarge,
    Upgrade,
    NotReached,
    NoAnswer,
    TwoLengths,
    BadRequestBody,
    TooSlow,
}

impl Refusal {
    pub(super) fn of(error: &BoxError) -> Self {
        let causes = || iter::successors(error.source(), |&cause| cause.source());
        if causes().any(|cause| cause.is::<LengthLimitError>()) {
            Self::BodyTooLarge
        } else if error.downcast_ref().is_some_and(legacy::Error::is_connect) {
            // Such as a certificate that is not trusted: only the operator can mend that.
            tracing::warn!(?error, "an upstream cannot be reached");
            Self::NotReached
        } else if causes().filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_user) {
            Self::BadRequestBody
        } else {
            Self::NoAnswer
        }
    }

    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Path => (StatusCode::BAD_REQUEST, "the path can be read in more than one way"),
            Self::Host => (StatusCode::BAD_REQUEST, "there must be one Host"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "this method is not passed on"),
            Self::TransferCoding => {
                (StatusCode::NOT_IMPLEMENTED, "no transfer coding but chunked is known")
            }
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Self::Upgrade => {
                (StatusCode::NOT_IMPLEMENTED, "of upgrades only a WebSocket's is passed on")
            }
            Self::NotReached => (StatusCode::BAD_GATEWAY, "the API cannot be reached"),
            Self::NoAnswer => (StatusCode::BAD_GATEWAY, "the API gave no answer"),
            Self::TwoLengths => (StatusCode::BAD_GATEWAY, "the API's answer has two lengths"),
            Self::BadRequestBody => (StatusCode::BAD_REQUEST, "the body broke off"),
            Self::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "the API took too long"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, why) = self.answer();
        tracing::debug!(status = status.as_u16(), why, "not passed on");
        // Problem JSON (RFC 9457), as the token layer's own answers are.
        let body = format!(r#"{{"title":"{why}","status":{}}}"#, status.as_u16());
        let headers = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (status, headers, body).into_response();
        if matches!(self, Self::Method) {
            // RFC 9110, section 15.5.6.
            let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}
