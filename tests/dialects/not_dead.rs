//! What sounds like the end of a login and is none: the login lives on, whatever comes, and for how
//! long it comes.

use std::time::Duration;

use crate::stage::{Counted, kind};

const MINUTE: Duration = Duration::from_secs(60);

const PASSES: &[(u16, &str)] = &[
    (403, "<html><head><title>403 Forbidden</title></head></html>"),
    (429, "<html>Too Many Requests</html>"),
    (429, r#"{"error":"invalid_grant"}"#),
    (503, r#"{"error":"invalid_grant"}"#),
    (404, "<html>404 page not found</html>"),
    (407, ""),
    (302, ""),
    (500, ""),
    (502, "<html>502 Bad Gateway</html>"),
    (504, ""),
    (400, r#"{"error":"temporarily_unavailable"}"#),
    (400, r#"{"error":"slow_down"}"#),
    (401, r#"{"error":"invalid_client"}"#),
    (401, r#"{"error":"unauthorized_client"}"#),
    (400, r#"{"error":"invalid_scope"}"#),
    (400, r#"{"error":"unsupported_grant_type"}"#),
    // GitHub, a wrong secret.
    (200, r#"{"error":"incorrect_client_credentials"}"#),
    // HubSpot, a wrong client.
    (400, r#"{"status":"BAD_CLIENT_ID","message":"missing or unknown client id"}"#),
    // Auth0, a wrong secret, and too many requests.
    (401, r#"{"error":"access_denied","error_description":"Unauthorized"}"#),
    (500, r#"{"error":"access_denied","error_description":"Global limit has been reached"}"#),
    // Microsoft: throttled, and a failure of Azure AD B2C.
    (400, r#"{"error":"invalid_grant","error_description":"AADSTS50196","error_codes":[50196]}"#),
    (
        400,
        r#"{"error":"invalid_grant","error_description":"AADB2C90085: The service has encountered an internal error."}"#,
    ),
];

/// Two users, a page view of each every ten seconds.
#[tokio::test(start_paused = true)]
async fn an_hour_of_it_logs_nobody_out_and_sends_a_few_requests_a_minute() {
    for (status, body) in PASSES {
        let stage = Counted::new();
        let (alice, bob) = (stage.world.log_in("alice").await, stage.world.log_in("bob").await);
        stage.world.expire();
        stage.always(*status, body);
        for _ in 0..360 {
            for id in [alice, bob] {
                let kind = kind(&stage.world, id).await.expect_err("no token");
                assert_ne!(kind.status(), 401, "{status} {body}");
            }
            stage.world.clock.advance(MINUTE / 6);
        }
        assert!(stage.requests() < 2 * 60 * 14, "{status} {body}: {}", stage.requests());
        stage.director.honest();
        stage.world.clock.advance(MINUTE * 5);
        for id in [alice, bob] {
            assert_eq!(kind(&stage.world, id).await, Ok(()), "{status} {body}");
            stage.world.assert_logged_in(id).await;
        }
    }
}
