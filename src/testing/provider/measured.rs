//! Keycloak and oidc-provider: `tests/provider_contract` runs against both of them.

use http::StatusCode;
use serde_json::{Value, json};

use super::{BY_THE_BOOK, Problem, Reach, Rules, seconds};
use crate::testing::{answer::Answer, state::Refusal};

const BAD_CLIENT: &str = "Invalid client or Invalid client credentials";

pub(super) static KEYCLOAK: Rules = Rules {
    access_lifetime: seconds(300),
    refresh_lifetime: seconds(1800),
    opaque_refresh: false,
    names_session: true,
    narrows_scope: false,
    answer: with_session,
    revoked_refresh_token: Reach::UserSession,
    nothing_to_revoke: r#"{"error":"invalid_token","error_description":"Invalid token"}"#,
    refusal: |refusal| {
        invalid_grant(match refusal {
            Refusal::Unknown => "Invalid refresh token",
            Refusal::Expired => "Token is not active",
            Refusal::SessionEnded => "Session not active",
            Refusal::ClientSessionEnded => "Session doesn't have required client",
            Refusal::BeforeClientSession => {
                "refresh token issued before the client session started"
            }
            Refusal::Reused => "Maximum allowed refresh token reuse exceeded",
            Refusal::Stale => "Stale token",
        })
    },
    no_client: (StatusCode::UNAUTHORIZED, "invalid_client", BAD_CLIENT),
    wrong_secret: (StatusCode::UNAUTHORIZED, "unauthorized_client", BAD_CLIENT),
    unknown_client: (StatusCode::UNAUTHORIZED, "invalid_client", BAD_CLIENT),
    ..BY_THE_BOOK
};

pub(super) static OIDC_PROVIDER: Rules = Rules {
    access_lifetime: seconds(300),
    refresh_lifetime: seconds(1800),
    opaque_access: true,
    revoked_access_token: Reach::ClientSession,
    refusal: |_| invalid_grant("grant request is invalid"),
    no_client: (
        StatusCode::BAD_REQUEST,
        "invalid_request",
        "no client authentication mechanism provided",
    ),
    wrong_secret: FAILED,
    unknown_client: FAILED,
    challenge: Some(
        r#"Basic realm="test", error="invalid_client", error_description="client authentication failed""#,
    ),
    wrong_method: StatusCode::NOT_FOUND,
    ..BY_THE_BOOK
};

const FAILED: Problem =
    (StatusCode::UNAUTHORIZED, "invalid_client", "client authentication failed");

fn invalid_grant(description: &'static str) -> Problem {
    (StatusCode::BAD_REQUEST, "invalid_grant", description)
}

fn with_session(answer: &Answer) -> Value {
    let mut body = answer.standard();
    let refresh_expires_in = answer.refresh_token.as_ref().map_or(0, |named| named.expires_in);
    body["refresh_expires_in"] = json!(refresh_expires_in);
    body["not-before-policy"] = json!(0);
    if let Some(sid) = &answer.sid {
        body["session_state"] = json!(sid);
    }
    body
}
