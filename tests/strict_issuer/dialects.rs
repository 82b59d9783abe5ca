//! What each provider writes: the answer to a refresh, to a dead refresh token and to a wrong
//! client, field by field.

use http::header;
use serde_json::{Value, json};
use tower_token_refresh::testing::{ProviderKind, StrictIssuer};

use crate::requests::*;

pub(crate) const ALL: [ProviderKind; 11] = [
    ProviderKind::Keycloak,
    ProviderKind::OidcProvider,
    ProviderKind::GitHub,
    ProviderKind::Google,
    ProviderKind::Entra,
    ProviderKind::Okta,
    ProviderKind::Auth0,
    ProviderKind::Cognito,
    ProviderKind::Slack,
    ProviderKind::HubSpot,
    ProviderKind::Fitbit,
];

fn like(kind: ProviderKind) -> StrictIssuer {
    StrictIssuer::builder().like(kind).build()
}

/// The tokens of a login, wherever the provider puts them.
fn log_in(issuer: &StrictIssuer) -> Value {
    let answer = issuer.log_in("alice");
    answer.get("authed_user").cloned().unwrap_or(answer)
}

/// Status and body for a client that accepts JSON. What is new each time is `<its name>`.
fn ask(issuer: &StrictIssuer, refresh_token: &str, credentials: &str) -> (u16, Value) {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    let mut request = post(&issuer.token_url(), Some(credentials), &fields);
    request.headers_mut().insert(header::ACCEPT, "application/json".parse().unwrap());
    let (status, body) = answer(&issuer.handle(request));
    let changing = ["access_token", "refresh_token", "id_token", "session_state"];
    let changing = changing.into_iter().chain(["trace_id", "correlation_id", "timestamp"]);
    let mut shown = body.to_string().replace(refresh_token, "<refresh_token>");
    for name in changing {
        if let Some(value) = body[name].as_str() {
            shown = shown.replace(value, &format!("<{name}>"));
        }
    }
    (status, serde_json::from_str(&shown).unwrap())
}

/// What a refresh brings.
fn refreshed(kind: ProviderKind) -> Value {
    match kind {
        ProviderKind::Keycloak => json!({
            "access_token": "<access_token>", "expires_in": 300, "token_type": "Bearer",
            "refresh_token": "<refresh_token>", "refresh_expires_in": 1800,
            "id_token": "<id_token>", "scope": "openid profile email",
            "session_state": "<session_state>", "not-before-policy": 0,
        }),
        ProviderKind::OidcProvider => json!({
            "access_token": "<access_token>", "expires_in": 300, "token_type": "Bearer",
            "refresh_token": "<refresh_token>", "id_token": "<id_token>",
            "scope": "openid profile email",
        }),
        ProviderKind::GitHub => json!({
            "access_token": "<access_token>", "expires_in": 28_800, "token_type": "bearer",
            "refresh_token": "<refresh_token>", "refresh_token_expires_in": 15_811_200,
            "scope": "",
        }),
        ProviderKind::Google => json!({
            "access_token": "<access_token>", "expires_in": 3600, "token_type": "Bearer",
            "id_token": "<id_token>", "scope": "openid profile email",
        }),
        ProviderKind::Entra => json!({
            "access_token": "<access_token>", "expires_in": 3599, "ext_expires_in": 3599,
            "token_type": "Bearer", "refresh_token": "<refresh_token>", "id_token": "<id_token>",
            "scope": "openid profile email",
        }),
        ProviderKind::Okta => json!({
            "access_token": "<access_token>", "expires_in": 3600, "token_type": "Bearer",
            "refresh_token": "<refresh_token>", "id_token": "<id_token>",
            "scope": "openid profile email",
        }),
        ProviderKind::Auth0 => json!({
            "access_token": "<access_token>", "expires_in": 86_400, "token_type": "Bearer",
            "refresh_token": "<refresh_token>", "id_token": "<id_token>",
            "scope": "openid profile email",
        }),
        ProviderKind::Cognito => json!({
            "access_token": "<access_token>", "expires_in": 3600, "token_type": "Bearer",
            "id_token": "<id_token>",
        }),
        ProviderKind::Slack => json!({
            "ok": true, "app_id": "A0KRD7HC3", "id": "f:test:alice",
            "access_token": "<access_token>", "expires_in": 43_200, "token_type": "user",
            "refresh_token": "<refresh_token>", "scope": "openid,profile,email",
        }),
        ProviderKind::HubSpot => json!({
            "access_token": "<access_token>", "expires_in": 1800, "token_type": "bearer",
            "refresh_token": "<refresh_token>", "hub_id": 62_515,
            "scopes": ["openid", "profile", "email"],
        }),
        ProviderKind::Fitbit => json!({
            "access_token": "<access_token>", "expires_in": 28_800, "token_type": "Bearer",
            "refresh_token": "<refresh_token>", "scope": "openid profile email",
            "user_id": "f:test:alice",
        }),
        kind => panic!("no answer known of {kind:?}"),
    }
}

/// What a refresh token gets whose login has ended.
fn dead(kind: ProviderKind) -> (u16, Value) {
    let invalid_grant = |why: &str| json!({ "error": "invalid_grant", "error_description": why });
    match kind {
        ProviderKind::Keycloak => (400, invalid_grant("Session not active")),
        ProviderKind::OidcProvider => (400, invalid_grant("grant request is invalid")),
        ProviderKind::GitHub => (
            200,
            json!({
                "error": "bad_refresh_token",
                "error_description": "The refresh token passed is incorrect or expired.",
                "error_uri": "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors",
            }),
        ),
        ProviderKind::Google => (400, invalid_grant("Token has been expired or revoked.")),
        ProviderKind::Entra => (
            400,
            json!({
                "error": "invalid_grant",
                "error_description": "AADSTS50173: The provided grant has expired due to it being \
                    revoked, a fresh auth token is needed.\r\nTrace ID: <trace_id>\r\n\
                    Correlation ID: <correlation_id>\r\nTimestamp: <timestamp>",
                "error_codes": [50173],
                "timestamp": "<timestamp>",
                "trace_id": "<trace_id>",
                "correlation_id": "<correlation_id>",
                "error_uri": "https://login.microsoftonline.com/error?code=50173",
            }),
        ),
        ProviderKind::Okta => (400, invalid_grant("The refresh token is invalid or expired.")),
        ProviderKind::Auth0 => (403, invalid_grant("Unknown or invalid refresh token.")),
        ProviderKind::Cognito => (400, json!({ "error": "invalid_grant" })),
        ProviderKind::Slack => (200, json!({ "ok": false, "error": "invalid_refresh_token" })),
        ProviderKind::HubSpot => (
            400,
            json!({ "status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token" }),
        ),
        ProviderKind::Fitbit => (
            400,
            json!({
                "errors": [{
                    "errorType": "invalid_grant",
                    "message": "Refresh token invalid: <refresh_token>. Visit \
                        https://dev.fitbit.com/docs/oauth2 for more information on the Fitbit Web \
                        API authorization process.",
                }],
                "success": false,
            }),
        ),
        kind => panic!("no answer known of {kind:?}"),
    }
}

#[test]
fn a_refresh_brings_what_the_provider_writes() {
    for kind in ALL {
        let issuer = like(kind);
        let tokens = log_in(&issuer);
        let found = ask(&issuer, text(&tokens, "refresh_token"), BASIC);
        assert_eq!(found, (200, refreshed(kind)), "{kind:?}");
    }
}

#[test]
fn a_dead_refresh_token_is_refused_in_the_providers_words() {
    for kind in ALL {
        let issuer = like(kind);
        let tokens = log_in(&issuer);
        issuer.end_session("alice");
        let found = ask(&issuer, text(&tokens, "refresh_token"), BASIC);
        assert_eq!(found, dead(kind), "{kind:?}");
    }
}

#[test]
fn a_wrong_secret_is_refused_in_the_providers_words() {
    let oauth = |error: &str| ("error".to_owned(), error.to_owned());
    for kind in ALL {
        let (status, (field, code)) = match kind {
            ProviderKind::Keycloak => (401, oauth("unauthorized_client")),
            ProviderKind::GitHub => (200, oauth("incorrect_client_credentials")),
            ProviderKind::Slack => (200, oauth("bad_client_secret")),
            ProviderKind::Auth0 => (401, oauth("access_denied")),
            ProviderKind::Cognito => (400, oauth("invalid_client")),
            ProviderKind::HubSpot => (401, ("status".to_owned(), "invalid_client".to_owned())),
            ProviderKind::Fitbit => (401, ("errorType".to_owned(), "invalid_client".to_owned())),
            _ => (401, oauth("invalid_client")),
        };
        let issuer = like(kind);
        let tokens = log_in(&issuer);
        // `web:wrong`
        let (found, body) = ask(&issuer, text(&tokens, "refresh_token"), "Basic d2ViOndyb25n");
        let problem = body.pointer("/errors/0").unwrap_or(&body);
        assert_eq!((found, text(problem, &field)), (status, code.as_str()), "{kind:?}");
        assert!(issuer.is_refresh_token_live(text(&tokens, "refresh_token")), "{kind:?}");
    }
}

#[test]
fn slack_nests_the_tokens_of_a_login_and_not_those_of_a_refresh() {
    let answer = like(ProviderKind::Slack).log_in("alice");
    assert_eq!(answer["ok"], true);
    assert!(answer.get("access_token").is_none());
    assert!(text(&answer["authed_user"], "access_token").starts_with("xoxe.xoxp-"));
    assert_eq!(answer["authed_user"]["token_type"], "user");
}

#[test]
fn entra_says_of_an_unused_refresh_token_why_it_has_ended() {
    let clock = tower_token_refresh::testing::ManualClock::new();
    let issuer = StrictIssuer::builder().like(ProviderKind::Entra).clock(clock.clock()).build();
    let tokens = log_in(&issuer);
    clock.advance(std::time::Duration::from_secs(90 * 24 * 60 * 60));
    let (status, body) = ask(&issuer, text(&tokens, "refresh_token"), BASIC);
    assert_eq!((status, &body["suberror"]), (400, &json!("bad_token")));
    assert_eq!(body["error_codes"], json!([700_082]));
}

#[test]
fn github_answers_with_a_form_unless_json_is_accepted() {
    let issuer = like(ProviderKind::GitHub);
    let tokens = log_in(&issuer);
    issuer.edit_next(|answer| answer["scope"] = json!("a&b"));
    let response = issuer.handle(refresh_request(&issuer, text(&tokens, "refresh_token")));
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with(FORM), "{kind}");
    let form: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(response.body()).into_owned().collect();
    assert!(form["access_token"].starts_with("ghu_") && form["refresh_token"].starts_with("ghr_"));
    assert_eq!(
        (&*form["expires_in"], &*form["token_type"], &*form["scope"]),
        ("28800", "bearer", "a&b")
    );

    let refused = issuer.handle(refresh_request(&issuer, "never seen"));
    assert_eq!(refused.status(), 200);
    let refused = String::from_utf8(refused.body().to_vec()).unwrap();
    assert!(refused.contains("error=bad_refresh_token"), "{refused}");
}
