//! RFC 7009.

use support::providers::Browser;

use crate::{manners::Reach, subject::Subject};

async fn revoke(subject: &Subject, token: &str) {
    let answer = subject.provider.revoke(token, "refresh_token").await;
    assert_eq!((answer.status.as_u16(), answer.text("error")), (200, ""));
}

pub(crate) async fn of_a_refresh_token_ends_the_browsers_logins(subject: &Subject) {
    let (user, browser, first) = subject.log_in().await;
    let second = subject.log_in_at(&browser, &user).await;
    let newest = subject.refreshed(&first).await;

    revoke(subject, newest.refresh()).await;
    for tokens in [&first, &newest, &second] {
        assert!(!subject.is_live(tokens).await);
    }
    subject.assert_refused(newest.refresh(), subject.manners.after_revocation).await;
    subject.assert_refused(second.refresh(), subject.manners.after_revocation).await;

    let again = subject.log_in_at(&browser, &user).await;
    assert!(subject.is_live(&again).await);
    assert!(!subject.is_live(&second).await);
    let (old, new) = (first.claims(), again.claims());
    let is_another = old.get("sid").zip(new.get("sid")).map(|(old, new)| old != new);
    assert_eq!(is_another, subject.manners.revocation_ends_session);
}

pub(crate) async fn of_a_consumed_refresh_token_does_the_same(subject: &Subject) {
    let (user, browser, first) = subject.log_in().await;
    let second = subject.log_in_at(&browser, &user).await;
    let newest = subject.refreshed(&first).await;

    revoke(subject, first.refresh()).await;
    for tokens in [&first, &newest, &second] {
        assert!(!subject.is_live(tokens).await);
    }
    subject.assert_refused(newest.refresh(), subject.manners.after_revocation).await;
}

pub(crate) async fn of_a_refresh_token_ends_nothing_in_another_browser(subject: &Subject) {
    let (user, _, here) = subject.log_in().await;
    let there = subject.log_in_at(&Browser::new(), &user).await;
    revoke(subject, here.refresh()).await;
    assert!(!subject.is_live(&here).await);
    assert!(subject.is_live(&there).await);
    subject.refreshed(&there).await;
}

pub(crate) async fn of_an_access_token(subject: &Subject) {
    let (user, browser, first) = subject.log_in().await;
    let second = subject.log_in_at(&browser, &user).await;
    let newest = subject.refreshed(&first).await;

    let answer = subject.provider.revoke(newest.access(), "access_token").await;
    assert_eq!((answer.status.as_u16(), answer.text("error")), (200, ""));
    assert!(!subject.is_live(&newest).await);
    match subject.manners.revoked_access_token {
        Reach::Itself => {
            assert!(subject.is_live(&first).await && subject.is_live(&second).await);
            subject.refreshed(&newest).await;
            subject.refreshed(&second).await;
        }
        Reach::TheBrowsersLogins => {
            assert!(!subject.is_live(&first).await && !subject.is_live(&second).await);
            subject.assert_refused(newest.refresh(), subject.manners.after_revocation).await;
            subject.assert_refused(second.refresh(), subject.manners.after_revocation).await;
        }
    }
}

pub(crate) async fn of_what_is_not_live(subject: &Subject) {
    let (_, _, ended) = subject.log_in().await;
    let (_, _, other) = subject.log_in().await;
    revoke(subject, ended.refresh()).await;
    for token in ["never-seen", ended.refresh()] {
        let answer = subject.provider.revoke(token, "refresh_token").await;
        assert_eq!(
            (answer.status.as_u16(), answer.text("error")),
            (200, subject.manners.nothing_to_revoke)
        );
    }
    assert!(subject.is_live(&other).await);
}

pub(crate) async fn of_an_id_token_is_refused(subject: &Subject) {
    let (_, _, tokens) = subject.log_in().await;
    let answer = subject.provider.revoke(tokens.text("id_token"), "access_token").await;
    assert_eq!((answer.status.as_u16(), answer.text("error")), (400, "unsupported_token_type"));
    assert!(subject.is_live(&tokens).await);
}
