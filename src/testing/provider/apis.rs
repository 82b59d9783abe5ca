//! Services with an API and an accent of their own: GitHub, Slack, HubSpot, Fitbit. Read in public
//! documentation and reports, not measured; the module of `testing` links each source.

use http::StatusCode;
use serde_json::{Value, json};

use super::{BY_THE_BOOK, ENDLESS, Problem, Rotation, Rules, seconds};
use crate::testing::{
    answer::{Answer, Grant},
    wire::OAuthError,
};

pub(super) static GITHUB: Rules = Rules {
    access_lifetime: seconds(28_800),
    refresh_lifetime: seconds(15_811_200),
    rotation: Rotation::ReuseRefused,
    ends_old_access_token: true,
    opaque_access: true,
    prefixes: ("ghu_", "ghr_"),
    id_tokens: false,
    answer: |answer| {
        let mut body = answer.standard();
        body["token_type"] = json!("bearer");
        // The permissions of the app and the user count instead.
        body["scope"] = json!("");
        if let Some(named) = &answer.refresh_token {
            body["refresh_token_expires_in"] = json!(named.expires_in);
        }
        body
    },
    // Every error is a success of HTTP.
    problem: |error, _| {
        let (_, mut body) = error.standard();
        body["error_uri"] = json!(GITHUB_ERRORS);
        (StatusCode::OK, body)
    },
    writes_forms: true,
    refusal: |_| {
        (StatusCode::OK, "bad_refresh_token", "The refresh token passed is incorrect or expired.")
    },
    no_client: GITHUB_CLIENT,
    wrong_secret: GITHUB_CLIENT,
    unknown_client: GITHUB_CLIENT,
    ..BY_THE_BOOK
};

const GITHUB_ERRORS: &str = "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors";

const GITHUB_CLIENT: Problem = (
    StatusCode::OK,
    "incorrect_client_credentials",
    "The client_id and/or client_secret passed are incorrect.",
);

pub(super) static SLACK: Rules = Rules {
    access_lifetime: seconds(43_200),
    rotation: Rotation::ReuseRefused,
    opaque_access: true,
    prefixes: ("xoxe.xoxp-", "xoxe-"),
    id_tokens: false,
    answer: slack_answer,
    problem: |error, _| (StatusCode::OK, json!({ "ok": false, "error": error.code })),
    refusal: |_| (StatusCode::OK, "invalid_refresh_token", ""),
    no_client: (StatusCode::OK, "invalid_client_id", ""),
    wrong_secret: (StatusCode::OK, "bad_client_secret", ""),
    unknown_client: (StatusCode::OK, "invalid_client_id", ""),
    ..BY_THE_BOOK
};

/// A login puts the user's token into `authed_user`; a refresh does not.
fn slack_answer(answer: &Answer) -> Value {
    let mut tokens = answer.standard();
    tokens["token_type"] = json!("user");
    tokens["scope"] = json!(answer.scope.replace(' ', ","));
    tokens["id"] = json!(answer.subject);
    let mut body = match answer.grant {
        Grant::Login => json!({ "authed_user": tokens }),
        Grant::Refresh | Grant::Client | Grant::Exchange => tokens,
    };
    body["ok"] = json!(true);
    body["app_id"] = json!("A0KRD7HC3");
    body
}

pub(super) static HUBSPOT: Rules = Rules {
    access_lifetime: seconds(1800),
    rotation: Rotation::SameToken,
    opaque_access: true,
    id_tokens: false,
    answer: |answer| {
        let mut body = answer.without_scope();
        body["token_type"] = json!("bearer");
        body["hub_id"] = json!(62_515);
        body["scopes"] = json!(answer.scope.split(' ').collect::<Vec<_>>());
        body
    },
    problem: |error, _| {
        (error.status, json!({ "status": error.code, "message": error.description }))
    },
    refusal: |_| (StatusCode::BAD_REQUEST, "BAD_REFRESH_TOKEN", "missing or invalid refresh token"),
    no_client: HUBSPOT_ID,
    unknown_client: HUBSPOT_ID,
    ..BY_THE_BOOK
};

const HUBSPOT_ID: Problem =
    (StatusCode::BAD_REQUEST, "BAD_CLIENT_ID", "missing or unknown client id");

pub(super) static FITBIT: Rules = Rules {
    access_lifetime: seconds(28_800),
    refresh_lifetime: ENDLESS,
    rotation: Rotation::ReuseRefused,
    id_tokens: false,
    answer: |answer| {
        let mut body = answer.standard();
        body["user_id"] = json!(answer.subject);
        body
    },
    problem: |error, _| fitbit_problem(error),
    refusal: |_| (StatusCode::BAD_REQUEST, "invalid_grant", "Refresh token invalid"),
    no_client: FITBIT_ID,
    wrong_secret: (
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "Invalid authorization header. Client secret invalid",
    ),
    unknown_client: FITBIT_ID,
    ..BY_THE_BOOK
};

const FITBIT_ID: Problem =
    (StatusCode::UNAUTHORIZED, "invalid_client", "Invalid authorization header. Client id invalid");

/// The message of a refused refresh names the refresh token.
fn fitbit_problem(error: &OAuthError) -> (StatusCode, Value) {
    let token = error.token.as_ref().map(|token| format!(": {token}")).unwrap_or_default();
    let message = format!(
        "{}{token}. Visit https://dev.fitbit.com/docs/oauth2 for more information on the Fitbit \
         Web API authorization process.",
        error.description
    );
    let errors = json!([{ "errorType": error.code, "message": message }]);
    (error.status, json!({ "errors": errors, "success": false }))
}
