//! A subject is unique at its issuer only: two tenants may have the same one for two people.

use support::log::{AuditLine, Log};
use tower_token_refresh::{Logout, testing::StrictIssuer, tower_sessions::Session};

use crate::App;

fn app() -> App {
    App::with(|builder| builder.audit_key([7; 32]).back_channel_logout([7; 32]))
}

fn line(app: &App, at: &StrictIssuer, event: &str) -> AuditLine {
    let issuer = at.issuer_url();
    let user = app.refresher.audit_hash(&issuer, &at.subject_of("alice"));
    AuditLine { event: event.to_owned(), user: Some(user), issuer }
}

#[tokio::test]
async fn audit_lines_name_the_logins_own_issuer_and_tell_its_users_apart() {
    let log = Log::of_this_thread();
    let app = app();
    let mut expected = Vec::new();
    for at in [&app.own, &app.red, &app.blue] {
        let session = app.log_in(at, "alice").await;
        app.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
        app.log_in(at, "alice").await;
        let token = at.logout_token(Some("alice"), None);
        app.refresher.end_by_logout_token(&token).await.expect("ended");
        let refused = app.log_in(at, "alice").await;
        at.end_session("alice");
        app.expire();
        app.token(&refused).await.expect_err("the provider refuses");
        for event in ["login", "logout", "login", "ended_by_provider", "login", "refused"] {
            expected.push(line(&app, at, event));
        }
    }
    assert_eq!(app.red.subject_of("alice"), app.blue.subject_of("alice"));
    assert_ne!(line(&app, &app.red, "login").user, line(&app, &app.blue, "login").user);
    assert_eq!(log.audit(), expected);
}

#[tokio::test]
async fn a_snapshot_tells_them_apart_as_well() {
    let app = app();
    let sessions: [Session; 2] =
        [app.log_in(&app.red, "alice").await, app.log_in(&app.blue, "alice").await];
    app.expire();
    for session in &sessions {
        app.token(session).await.expect("a token");
    }
    let users: Vec<_> =
        app.refresher.snapshot().ended.into_iter().map(|flight| flight.user).collect();
    assert_eq!(users, [&app.red, &app.blue].map(|at| line(&app, at, "login").user));
}
