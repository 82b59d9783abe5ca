//! What sounds like the end of a login and is none: the login lives on, whatever comes, and for how
//! long it comes.

use std::time::Duration;

use crate::stage::{Counted, kind, response};

const MINUTE: Duration = Duration::from_secs(60);

/// Says nothing about the token, or may pass. Others are served meanwhile.
const PASSES: &[(u16, &str)] = &[
    (403, "<html><head><title>403 Forbidden</title></head></html>"),
    (429, "<html>Too Many Requests</html>"),
    (429, r#"{"error":"invalid_grant"}"#),
    (503, r#"{"error":"invalid_grant"}"#),
    (400, "<html>400 Bad Request</html>"),
    (406, "<html>Not Acceptable</html>"),
    (403, "<script>location='/login?a=1&error=login_required&b=1'</script>"),
    (200, "<html><a href=\"?a=1&error=invalid_grant&b=1\">Log in</a></html>"),
    (404, "<html>404 page not found</html>"),
    (407, ""),
    (302, ""),
    (400, r#"{"error":"temporarily_unavailable"}"#),
    (400, r#"{"error":"slow_down"}"#),
    (401, r#"{"error":"invalid_client"}"#),
    (400, r#"{"error":"invalid_scope"}"#),
    (400, r#"{"error":"unsupported_grant_type"}"#),
    // GitHub, a wrong secret.
    (200, r#"{"error":"incorrect_client_credentials"}"#),
    // HubSpot, a wrong client.
    (400, r#"{"status":"BAD_CLIENT_ID","message":"missing or unknown client id"}"#),
    // Microsoft throttles.
    (400, r#"{"error":"invalid_grant","error_description":"AADSTS50196","error_codes":[50196]}"#),
];

/// May mean that the token is dead, where others are served. Here nobody is.
const OUTAGES: &[(u16, &str)] = &[
    (500, ""),
    (502, "<html>502 Bad Gateway</html>"),
    (504, ""),
    (200, "{}"),
    (401, ""),
    (403, r#"{"message":"Forbidden"}"#),
    (401, r#"{"error":"unauthorized_client"}"#),
    // Auth0, a wrong secret, and too many requests.
    (401, r#"{"error":"access_denied","error_description":"Unauthorized"}"#),
    (500, r#"{"error":"access_denied","error_description":"Global limit has been reached"}"#),
    // Azure AD B2C has failed.
    (
        400,
        r#"{"error":"invalid_grant","error_description":"AADB2C90085: The service has encountered an internal error."}"#,
    ),
];

/// Two users, a page view of each every ten seconds. A third one is answered honestly.
#[tokio::test(start_paused = true)]
async fn an_hour_of_it_logs_nobody_out_whose_token_is_good() {
    for (status, body) in PASSES {
        hour(*status, body, true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_logs_nobody_out() {
    for (status, body) in OUTAGES {
        hour(*status, body, false).await;
    }
}

async fn hour(status: u16, body: &'static str, others_are_served: bool) {
    let stage = Counted::new();
    let world = &stage.world;
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let carol = world.log_in("carol").await;
    world.expire();
    let mut refused = Vec::new();
    for id in [alice, bob] {
        refused.push(world.stored_refresh_token(id).await.expect("logged in"));
    }
    let posts = stage.answer_to(refused, move || response(status, body));
    for _ in 0..360 {
        for id in [alice, bob] {
            let kind = kind(world, id).await.expect_err("no token");
            assert_ne!(kind.status(), 401, "{status} {body}");
        }
        if others_are_served {
            // The breaker may hold her back for a moment, and then serves her.
            let _ = kind(world, carol).await;
        }
        world.clock.advance(MINUTE / 6);
    }
    // Of what is overloaded every page view asks, twice.
    let is_overload = status == 503 || body.contains("temporarily_unavailable");
    let most = if is_overload { 1440 } else { 2 * 60 * 3 };
    let sent = posts.load(std::sync::atomic::Ordering::SeqCst);
    assert!(sent <= most, "{status} {body}: {sent}");
    assert!(world.issuer.refreshes() > 20 || !others_are_served, "{status} {body}");
    stage.director.honest();
    world.clock.advance(MINUTE * 5);
    for id in [alice, bob] {
        assert_eq!(kind(world, id).await, Ok(()), "{status} {body}");
        world.assert_logged_in(id).await;
    }
}
