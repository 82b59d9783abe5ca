//! Words for "never again": the login ends, and its refresh token was presented once.

use tower_token_refresh::{AnswerMeaning, RefreshErrorKind};

use crate::stage::{Counted, ask, kind, world};

const ENDS: &[(u16, &str)] = &[
    (400, r#"{"error":"invalid_grant"}"#),
    (401, r#"{"error":"invalid_grant"}"#),
    // Auth0.
    (403, r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#),
    (500, r#"{"error":"invalid_grant"}"#),
    (200, r#"{"error":"invalid_grant"}"#),
    (400, r#"{"error":"INVALID_GRANT"}"#),
    (400, r#"{"error":"interaction_required"}"#),
    (400, r#"{"error":"login_required"}"#),
    (403, r#"{"error":"consent_required"}"#),
    (400, r#"{"error":"account_selection_required"}"#),
    (403, r#"{"error":"mfa_required","mfa_token":"Fe26.2*SERVER_1234"}"#),
    (400, r#"{"error":"access_denied"}"#),
    (403, r#"{"error":"access_denied"}"#),
    // GitHub.
    (
        200,
        r#"{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}"#,
    ),
    (200, "error=bad_refresh_token&error_description=incorrect"),
    // HubSpot.
    (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#),
    // Slack.
    (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
    (200, r#"{"ok":false,"error":"token_expired"}"#),
    // Fitbit.
    (
        400,
        r#"{"errors":[{"errorType":"invalid_grant","message":"Refresh token invalid"}],"success":false}"#,
    ),
    (401, r#"{"errors":[{"code":"invalid_refresh_token"}]}"#),
    (400, r#"{"error":{"code":"invalid_grant","message":"expired"}}"#),
    (401, r#"{"error":"invalid_token"}"#),
    // Microsoft Entra ID.
    (
        400,
        r#"{"error":"invalid_grant","error_description":"AADSTS700082: The refresh token has expired due to inactivity.","error_codes":[700082],"suberror":"bad_token"}"#,
    ),
];

#[tokio::test]
async fn the_login_ends_and_the_token_was_presented_once() {
    for (status, body) in ENDS {
        let stage = Counted::new();
        let id = stage.world.log_in("alice").await;
        stage.world.expire();
        stage.always(*status, body);
        for _ in 0..5 {
            let error = stage.ask(id).await.expect_err("dead");
            assert_eq!(error.kind(), RefreshErrorKind::SessionExpired, "{status} {body}");
            assert_eq!(error.kind().status(), 401);
        }
        assert_eq!(stage.requests(), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn the_applications_own_word_comes_first() {
    let answers = [
        (418, "E1", Some(AnswerMeaning::LoginEnded), RefreshErrorKind::SessionExpired),
        (200, "E1", Some(AnswerMeaning::LoginEnded), RefreshErrorKind::SessionExpired),
        (
            400,
            r#"{"error":"invalid_grant"}"#,
            Some(AnswerMeaning::TryLater(None)),
            RefreshErrorKind::Unavailable,
        ),
        (403, "E3", Some(AnswerMeaning::Misconfigured), RefreshErrorKind::Misconfigured),
        (400, r#"{"error":"invalid_grant"}"#, None, RefreshErrorKind::SessionExpired),
    ];
    for (status, body, meaning, expected) in answers {
        let (world, director) = world();
        director.always(status, body);
        let endpoint = support::endpoint(&world.issuer)
            .transport(director.transport(&world.issuer))
            .classify(move |answer| {
                assert_eq!((answer.status().as_u16(), answer.body()), (status, body.as_bytes()));
                assert!(!format!("{answer:?}").contains("E1"), "the body is not shown");
                meaning
            });
        let world = world.asking(endpoint);
        let id = world.log_in("alice").await;
        world.expire();
        assert_eq!(kind(&world, id).await, Err(expected), "{status} {body} {meaning:?}");
        let ends = expected == RefreshErrorKind::SessionExpired;
        assert_eq!(world.stored_refresh_token(id).await.is_none(), ends);
    }
}

/// With no word from the application, the tokens are taken as ever.
#[tokio::test]
async fn an_application_without_a_word_changes_nothing() {
    let world = support::World::on_memory();
    let endpoint = support::endpoint(&world.issuer).classify(|_| None);
    let world = world.asking(endpoint);
    let id = world.log_in("alice").await;
    world.expire();
    assert!(ask(&world, id).await.is_ok());
    world.assert_logged_in(id).await;
}
