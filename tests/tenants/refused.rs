//! Issuers that are none of the application's, and a resolver that cannot tell.

use std::{error::Error, sync::atomic::Ordering, time::Duration};

use tower_token_refresh::{
    RefreshErrorKind, TokenRefresher, TokenSet, tower_sessions::MemoryStore,
};

use crate::{App, Tenants, endpoint, issuer};

#[tokio::test]
async fn an_unknown_issuer_logs_nobody_in_and_is_named() {
    let app = App::new();
    let green = issuer(&app.clock, "green");
    let session = app.session();
    let error = app.try_log_in(&session, &green, "mallory").await.expect_err("not a tenant");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains(&green.issuer_url()), "{error}");
    let error = app.token(&session).await.expect_err("nobody is logged in");
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
}

#[tokio::test]
async fn without_a_resolver_there_is_one_issuer() {
    let app = App::new();
    let alone =
        TokenRefresher::builder(endpoint(&app.own), MemoryStore::default()).build().unwrap();
    let set = TokenSet::from_response(app.red.log_in("alice")).unwrap();
    let set = set.with_issuer(app.red.issuer_url());
    let error = alone.log_in(&app.session(), set).await.expect_err("another issuer");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    for named in [app.red.issuer_url(), app.own.issuer_url()] {
        assert!(error.to_string().contains(&named), "{error}");
    }
}

#[tokio::test]
async fn a_resolver_that_fails_ends_nothing_and_is_asked_again() {
    let app = App::new();
    let session = app.session();
    app.tenants.fails.store(true, Ordering::SeqCst);
    let error = app.try_log_in(&session, &app.red, "alice").await.expect_err("it cannot tell");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(error.source().expect("a source").to_string(), "the database is down");
    app.tenants.fails.store(false, Ordering::SeqCst);
    app.try_log_in(&session, &app.red, "alice").await.expect("logged in");
    assert_eq!(app.tenants.asked.load(Ordering::SeqCst), 2);
    app.tenants.fails.store(true, Ordering::SeqCst);
    app.expire();
    app.token(&session).await.expect("it is not asked again for what it has told");
    assert_eq!(app.tenants.asked.load(Ordering::SeqCst), 2);
}

/// An application with one tenant, whose endpoint is not as it must be.
fn app_with(endpoint_of_red: impl FnOnce(&App) -> tower_token_refresh::TokenEndpoint) -> App {
    let mut app = App::new();
    let endpoint_of_red = endpoint_of_red(&app);
    let red = [(app.red.issuer_url(), endpoint_of_red)];
    let tenants = Tenants { endpoints: std::sync::Arc::new(red.into()), ..Tenants::default() };
    app.refresher = TokenRefresher::builder(endpoint(&app.own), MemoryStore::default())
        .endpoint_resolver(tenants)
        .clock(app.clock.clock())
        .build()
        .expect("the settings agree");
    app
}

#[tokio::test]
async fn an_endpoint_that_does_not_fit_is_refused_with_both_values() {
    let other = app_with(|app| endpoint(&app.blue));
    let slow = app_with(|app| endpoint(&app.red).request_timeout(Duration::from_secs(99)));
    let broken = app_with(|app| endpoint(&app.red).jwks_url("nowhere"));
    for (app, named) in [
        (&other, vec![other.red.issuer_url(), other.blue.issuer_url()]),
        (&slow, vec!["99s".into(), "15s".into(), "request_timeout".into()]),
        (&broken, vec!["nowhere".into(), broken.red.issuer_url()]),
    ] {
        let error =
            app.try_log_in(&app.session(), &app.red, "alice").await.expect_err("it is wrong");
        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
        for named in named {
            assert!(error.to_string().contains(&named), "{error}");
        }
    }
}
