//! A consumed refresh token comes back.

use support::providers::Browser;

use crate::subject::Subject;

pub(crate) async fn a_consumed_token_ends_every_token_of_its_login(subject: &Subject) {
    let manners = &subject.manners;
    let (_, _, login) = subject.log_in().await;
    let older = subject.refreshed(&login).await;
    let newest = subject.refreshed(&older).await;

    subject.assert_refused(older.refresh(), manners.reused).await;
    for tokens in [&login, &older, &newest] {
        assert!(!subject.is_live(tokens).await, "access tokens old and new");
    }
    subject.assert_refused(newest.refresh(), manners.after_reuse).await;
    subject.assert_refused(older.refresh(), manners.after_reuse).await;
    subject.assert_refused(login.refresh(), manners.after_reuse).await;
}

pub(crate) async fn an_older_token_does_the_same(subject: &Subject) {
    let (_, _, login) = subject.log_in().await;
    let older = subject.refreshed(&login).await;
    // Within a second Keycloak takes an older token for a newer one.
    subject.until_well_after(&older).await;
    let newest = subject.refreshed(&older).await;

    subject.assert_refused(login.refresh(), subject.manners.older_reused).await;
    for tokens in [&login, &older, &newest] {
        assert!(!subject.is_live(tokens).await);
    }
    subject.assert_refused(newest.refresh(), subject.manners.after_reuse).await;
}

pub(crate) async fn it_ends_the_other_login_of_the_browser_too(subject: &Subject) {
    let (user, browser, first) = subject.log_in().await;
    let second = subject.log_in_at(&browser, &user).await;
    let newer = subject.refreshed(&first).await;

    subject.assert_refused(first.refresh(), subject.manners.reused).await;
    assert!(!subject.is_live(&newer).await);
    assert!(!subject.is_live(&second).await);
    subject.assert_refused(second.refresh(), subject.manners.after_reuse).await;
}

pub(crate) async fn it_ends_nothing_in_another_browser(subject: &Subject) {
    let (user, _, here) = subject.log_in().await;
    let there = subject.log_in_at(&Browser::new(), &user).await;
    subject.refreshed(&here).await;

    subject.assert_refused(here.refresh(), subject.manners.reused).await;
    assert!(!subject.is_live(&here).await);
    assert!(subject.is_live(&there).await);
    subject.refreshed(&there).await;
}

pub(crate) async fn the_browser_logs_in_again_and_the_old_tokens_stay_dead(subject: &Subject) {
    let manners = &subject.manners;
    let (user, browser, old) = subject.log_in().await;
    let winner = subject.refreshed(&old).await;
    subject.assert_refused(old.refresh(), manners.reused).await;

    // Keycloak takes what is a second younger than its client session for a token of it.
    subject.until_well_after(&winner).await;
    let again = subject.log_in_at(&browser, &user).await;
    assert_eq!(again.claims()["sid"], old.claims()["sid"], "the browser was still logged in");
    assert_eq!(again.0["session_state"], old.0["session_state"]);
    assert!(!subject.is_live(&old).await && !subject.is_live(&winner).await);
    subject.assert_refused(old.refresh(), manners.before_new_login).await;
    subject.assert_refused(winner.refresh(), manners.before_new_login).await;

    assert!(subject.is_live(&again).await, "nor do they harm the new login");
    subject.refreshed(&again).await;
}
