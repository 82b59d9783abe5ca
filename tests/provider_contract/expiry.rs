//! Tokens past their life.

use crate::subject::Subject;

pub(crate) async fn an_access_token_ends_by_itself(subject: &Subject) {
    let subject = subject.with_brief_tokens().await;
    let (_, _, login) = subject.log_in().await;
    assert!(subject.is_live(&login).await);
    assert_eq!(login.0["expires_in"], 2);
    subject.until_ended(&login).await;
    let newer = subject.refreshed(&login).await;
    assert!(subject.is_live(&newer).await);
}

pub(crate) async fn a_refresh_token_ends_by_itself(subject: &Subject) {
    let subject = subject.with_brief_tokens().await;
    let (_, _, login) = subject.log_in().await;
    let newest = subject.refreshed(&login).await;
    if subject.manners.names_session {
        assert_eq!(newest.0["refresh_expires_in"], 4);
    }
    // Three lives of access tokens, one after the other.
    for _ in 0..3 {
        let (_, _, clock) = subject.log_in().await;
        subject.until_ended(&clock).await;
    }
    subject.assert_refused(newest.refresh(), subject.manners.expired).await;
    subject.assert_refused(login.refresh(), subject.manners.expired).await;
}
