//! Each login belongs to its tenant's provider, and no tenant suffers from another's.

use std::sync::atomic::Ordering;

use tower_token_refresh::{ClaimsTrust, Logout, RefreshErrorKind, StandardClaims, TokenSet};

use crate::App;

#[tokio::test]
async fn each_login_is_refreshed_and_revoked_at_its_own_provider() {
    let app = App::new();
    for at in [&app.own, &app.red, &app.blue] {
        let session = app.log_in(at, "alice").await;
        app.expire();
        let token = app.token(&session).await.expect("a token");
        assert!(at.is_access_token_live(&token));
        let out = app.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
        assert_eq!((at.refreshes(), at.revocations()), (1, 1));
        let url = out.end_session_url(None).expect("each has an end session endpoint");
        let name = at.issuer_url().rsplit('/').next().unwrap().to_owned();
        assert!(url.starts_with(&at.issuer_url()), "{url}");
        assert!(url.contains(&format!("client_id=client-of-{name}")), "{url}");
    }
}

#[tokio::test]
async fn a_login_that_names_no_issuer_is_at_the_refreshers_own() {
    let app = App::new();
    let session = app.session();
    let set = TokenSet::from_response(app.own.log_in("alice")).unwrap();
    app.refresher.log_in(&session, set).await.expect("logged in");
    app.expire();
    app.token(&session).await.expect("a token");
    assert_eq!(app.own.refreshes(), 1);
    assert_eq!(app.tenants.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_outage_of_one_tenants_provider_is_noticed_by_no_other() {
    let app = App::new();
    let mut red = Vec::new();
    for user in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        red.push(app.log_in(&app.red, user).await);
    }
    let blue = app.log_in(&app.blue, "alice").await;
    app.red.set_down(true);
    app.expire();
    for session in &red {
        let error = app.token(session).await.expect_err("red is down");
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    }
    app.token(&blue).await.expect("blue is not");
}

#[tokio::test]
async fn refreshes_at_one_provider_say_nothing_about_dead_tokens_at_another() {
    let app = App::new();
    let red = app.log_in(&app.red, "alice").await;
    let blue = app.log_in(&app.blue, "bob").await;
    // What may mean that this one token is dead, if others are refreshed meanwhile.
    for _ in 0..20 {
        app.expire();
        app.red.fail_next(500, "broken for this one");
        let refused = app.token(&red).await.expect_err("red fails");
        assert_ne!(refused.kind(), RefreshErrorKind::SessionExpired, "{refused}");
        app.token(&blue).await.expect("blue does not");
    }
    app.red.clear_script();
    app.expire();
    app.token(&red).await.expect("the login has outlived it");
}

#[tokio::test]
async fn claims_are_verified_by_the_keys_of_the_logins_provider() {
    let verified = ClaimsTrust::Verified { audience: None };
    let app = App::with(|builder| builder.claims_trust(verified));
    app.blue.rotate_keys();
    for at in [&app.red, &app.blue] {
        let session = app.log_in(at, "alice").await;
        let token = app.refresher.valid_token(&session).await.expect("a token");
        token.verify().await.expect("it is signed by its provider");
        let claims = token.claims::<StandardClaims>().expect("claims");
        assert_eq!(claims.iss.as_deref(), Some(&*at.issuer_url()));
    }
    let session = app.session();
    let foreign = TokenSet::from_response(app.red.log_in("mallory")).unwrap();
    let foreign = foreign.with_issuer(app.blue.issuer_url());
    app.refresher.log_in(&session, foreign).await.expect("nobody has looked at it yet");
    let token = app.refresher.valid_token(&session).await.expect("a token");
    let error = token.verify().await.expect_err("red's keys are not blue's");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
}
