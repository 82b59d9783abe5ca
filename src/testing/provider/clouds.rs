//! Identity as a service: Google, Entra, Okta, Auth0, Cognito. Read in public documentation and
//! reports, not measured; the module of `testing` links each source.

use std::time::SystemTime;

use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{BY_THE_BOOK, Problem, Reach, Rotation, Rules, days, seconds};
use crate::{
    clock::unix_seconds,
    testing::{answer::Answer, state::Refusal, wire::OAuthError},
};

pub(super) static GOOGLE: Rules = Rules {
    // It ends when it has not been used for six months.
    refresh_lifetime: days(183),
    rotation: Rotation::SameToken,
    repeats_same_token: false,
    opaque_access: true,
    prefixes: ("ya29.", "1//"),
    refusal: |refusal| {
        invalid_grant(match refusal {
            Refusal::Unknown => "Bad Request",
            _ => "Token has been expired or revoked.",
        })
    },
    revoked_access_token: Reach::ClientSession,
    no_client: GOOGLE_CLIENT,
    wrong_secret: GOOGLE_CLIENT,
    unknown_client: GOOGLE_CLIENT,
    ..BY_THE_BOOK
};

const GOOGLE_CLIENT: Problem = (StatusCode::UNAUTHORIZED, "invalid_client", "Unauthorized");

pub(super) static ENTRA: Rules = Rules {
    access_lifetime: seconds(3599),
    refresh_lifetime: days(90),
    rotation: Rotation::OldStaysGood,
    answer: |answer| {
        let mut body = answer.standard();
        body["ext_expires_in"] = body["expires_in"].clone();
        body
    },
    problem: aadsts,
    refusal: |refusal| {
        invalid_grant(match refusal {
            Refusal::Unknown => "AADSTS9002313: Invalid request. Request is malformed or invalid.",
            Refusal::Expired => "AADSTS700082: The refresh token has expired due to inactivity.",
            _ => {
                "AADSTS50173: The provided grant has expired due to it being revoked, \
                 a fresh auth token is needed."
            }
        })
    },
    no_client: (
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "AADSTS7000218: The request body must contain the following parameter: \
         'client_assertion' or 'client_secret'.",
    ),
    wrong_secret: AADSTS_SECRET,
    unknown_client: AADSTS_SECRET,
    ..BY_THE_BOOK
};

const AADSTS_SECRET: Problem = (
    StatusCode::UNAUTHORIZED,
    "invalid_client",
    "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request \
     is the client secret value, not the client secret ID.",
);

/// The code that matters to a reader stands in the description, and as a number in `error_codes`.
fn aadsts(error: &OAuthError, now: SystemTime) -> (StatusCode, Value) {
    let (trace, correlation) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let timestamp = entra_time(now);
    let description = format!(
        "{}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {timestamp}",
        error.description
    );
    let mut body = json!({
        "error": error.code,
        "error_description": description,
        "timestamp": timestamp,
        "trace_id": trace,
        "correlation_id": correlation,
    });
    if let Some(number) = aadsts_number(error.description) {
        body["error_codes"] = json!([number]);
        body["error_uri"] = json!(format!("https://login.microsoftonline.com/error?code={number}"));
        if number == 700_082 {
            body["suberror"] = json!("bad_token");
        }
    }
    (error.status, body)
}

fn aadsts_number(description: &str) -> Option<u64> {
    description.strip_prefix("AADSTS")?.split(':').next()?.parse().ok()
}

/// `2026-11-26 14:05:47Z`
fn entra_time(now: SystemTime) -> String {
    let seconds = i64::try_from(unix_seconds(now)).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

pub(super) static OKTA: Rules = Rules {
    refresh_lifetime: days(90),
    fixed_end: true,
    rotation: Rotation::ReuseEndsLogin { grace: seconds(30) },
    refusal: |_| invalid_grant("The refresh token is invalid or expired."),
    no_client: OKTA_CLIENT,
    wrong_secret: OKTA_CLIENT,
    unknown_client: OKTA_CLIENT,
    ..BY_THE_BOOK
};

const OKTA_CLIENT: Problem = (
    StatusCode::UNAUTHORIZED,
    "invalid_client",
    "The client secret supplied for a confidential client is invalid.",
);

pub(super) static AUTH0: Rules = Rules {
    access_lifetime: days(1),
    refresh_lifetime: days(30),
    fixed_end: true,
    repeats_same_token: false,
    refusal: |_| (StatusCode::FORBIDDEN, "invalid_grant", "Unknown or invalid refresh token."),
    no_client: AUTH0_CLIENT,
    wrong_secret: AUTH0_CLIENT,
    unknown_client: AUTH0_CLIENT,
    ..BY_THE_BOOK
};

const AUTH0_CLIENT: Problem = (StatusCode::UNAUTHORIZED, "access_denied", "Unauthorized");

pub(super) static COGNITO: Rules = Rules {
    refresh_lifetime: days(30),
    fixed_end: true,
    rotation: Rotation::SameToken,
    repeats_same_token: false,
    answer: Answer::without_scope,
    problem: |error, _| (error.status, json!({ "error": error.code })),
    no_client: COGNITO_CLIENT,
    wrong_secret: COGNITO_CLIENT,
    unknown_client: COGNITO_CLIENT,
    ..BY_THE_BOOK
};

const COGNITO_CLIENT: Problem = (StatusCode::BAD_REQUEST, "invalid_client", "");

fn invalid_grant(description: &'static str) -> Problem {
    (StatusCode::BAD_REQUEST, "invalid_grant", description)
}
