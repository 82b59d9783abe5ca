//! Bodies as providers send them.

use super::*;

fn code_of(body: &str) -> Option<&'static str> {
    code(body.as_bytes())
}

#[test]
fn a_dead_token_has_many_names() {
    for body in [
        r#"{"error":"invalid_grant","error_description":"Token is not active"}"#,
        r#"{"error":"INVALID_GRANT"}"#,
        // GitHub, with the status 200, as JSON and as a form.
        r#"{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}"#,
        "error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect",
        // HubSpot.
        r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token","correlationId":"1"}"#,
        // Fitbit.
        r#"{"errors":[{"errorType":"invalid_grant","message":"Refresh token invalid"}],"success":false}"#,
        // An object where RFC 6749 has a text.
        r#"{"error":{"code":"invalid_grant","message":"expired"}}"#,
        r#"{"error":{"type":"token_expired"}}"#,
        r#"{"errors":[{"code":"invalid_refresh_token"},{"code":"something_else"}]}"#,
        r#"{"code":"refresh_token_expired"}"#,
        // Microsoft Entra ID asks for the user.
        r#"{"error":"interaction_required","error_description":"AADSTS50076","error_codes":[50076],"suberror":"basic_action"}"#,
        r#"{"error":"login_required"}"#,
        r#"{"error":"consent_required"}"#,
        r#"{"error":"account_selection_required"}"#,
        r#"{"error":"mfa_required","mfa_token":"Fe26"}"#,
        r#"{"error":"TokenExpired"}"#,
        r#"{"code":"invalid-grant"}"#,
        "\u{feff}{\"error\":\"invalid_token\"}",
    ] {
        assert_eq!(code_of(body), Some(INVALID_GRANT), "{body}");
    }
}

#[test]
fn a_registered_code_is_kept_wherever_it_stands() {
    for (body, known) in [
        (r#"{"error":"invalid_client"}"#, "invalid_client"),
        (r#"{"error":{"code":"invalid_client"}}"#, "invalid_client"),
        (r#"{"error":"temporarily_unavailable"}"#, "temporarily_unavailable"),
        ("error=unauthorized_client", "unauthorized_client"),
        (r#"{"error":"slow_down","code":"429"}"#, "slow_down"),
    ] {
        assert_eq!(code_of(body), Some(known), "{body}");
    }
}

#[test]
fn any_other_code_is_an_unregistered_one() {
    assert_eq!(code_of(r#"{"error":"hunter2"}"#), Some("unregistered code"));
    assert_eq!(code_of(r#"{"error":""}"#), Some("unregistered code"));
}

#[test]
fn what_names_no_error_is_none() {
    for body in [
        "",
        "<html>Forbidden: access_denied</html>",
        "<script>location='/login?next=/&error=login_required&x=1'</script>",
        "blocked; see https://waf.example/?a=1&error=invalid_grant&b=1",
        "[]",
        "{}",
        r#"{"error":7}"#,
        r#"{"error":{"code":403}}"#,
        r#"{"errors":["invalid_grant"]}"#,
        r#"{"message":"invalid_grant"}"#,
        r#"{"error_description":"invalid_grant"}"#,
        "invalid_grant",
        "a=1&b=error",
    ] {
        assert_eq!(code_of(body), None, "{body}");
    }
}
