//! A tenant's provider ends logins of its own, and no others.

use tower_token_refresh::{BackChannelError, RefreshErrorKind};

use crate::{App, issuer};

fn app() -> App {
    App::with(|builder| builder.back_channel_logout([7; 32]))
}

#[tokio::test]
async fn it_ends_the_logins_of_its_user_and_not_of_another_tenants_user_of_that_name() {
    let app = app();
    let red = app.log_in(&app.red, "alice").await;
    let blue = app.log_in(&app.blue, "alice").await;
    let own = app.log_in(&app.own, "alice").await;
    let token = app.red.logout_token(Some("alice"), None);
    app.refresher.end_by_logout_token(&token).await.expect("it is red's");
    let error = app.token(&red).await.expect_err("red has ended it");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    app.token(&blue).await.expect("blue has not");
    app.token(&own).await.expect("nor has our own");
    let token = app.own.logout_token(Some("alice"), None);
    app.refresher.end_by_logout_token(&token).await.expect("it is our own");
    assert!(app.token(&own).await.is_err());
    app.token(&blue).await.expect("blue still has not");
}

#[tokio::test]
async fn a_token_signed_by_one_in_the_name_of_another_is_refused() {
    let app = app();
    app.blue.rotate_keys();
    let session = app.log_in(&app.red, "alice").await;
    let claims = app.red.logout_claims(Some("alice"), None);
    let forged = app.blue.sign_jwt(serde_json::json!({"typ": "logout+jwt"}), &claims);
    let green = issuer(&app.clock, "green").logout_token(Some("alice"), None);
    for token in [forged.as_str(), &green, "a.b.c", ""] {
        let refused = app.refresher.end_by_logout_token(token).await;
        assert!(matches!(refused, Err(BackChannelError::Refused(_))), "{refused:?}");
    }
    app.token(&session).await.expect("she is logged in");
}
