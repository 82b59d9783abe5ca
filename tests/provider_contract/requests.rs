//! Requests that no provider can grant.

use reqwest::Method;
use support::providers::{Answer, CLIENT_ID, CLIENT_SECRET};

use crate::subject::Subject;

fn assert_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("error")), (status, error));
}

pub(crate) async fn a_bad_request_is_refused_and_consumes_nothing(subject: &Subject) {
    let provider = &subject.provider;
    let (_, _, login) = subject.log_in().await;
    let grant = ("grant_type", "refresh_token");
    let token = ("refresh_token", login.refresh());

    assert_error(&provider.grant(&[token]).await, 400, "invalid_request");
    assert_error(&provider.grant(&[grant]).await, 400, "invalid_request");
    assert_error(&provider.grant(&[grant, token, token]).await, 400, "invalid_request");
    assert_error(&provider.grant(&[grant, grant, token]).await, 400, "invalid_request");
    assert_error(
        &provider.grant(&[("grant_type", "nonsense"), token]).await,
        400,
        "unsupported_grant_type",
    );
    let wider = ("scope", "openid profile admin");
    assert_error(&provider.grant(&[grant, token, wider]).await, 400, "invalid_scope");
    let as_json = provider
        .ask(Method::POST, "token_endpoint", |request| {
            let request = request.basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
            request
                .json(&serde_json::json!({ "grant_type": "refresh_token", "refresh_token": login.refresh() }))
        })
        .await;
    assert_error(&as_json, 400, "invalid_request");
    let got = provider
        .ask(Method::GET, "token_endpoint", |request| {
            request.basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
        })
        .await;
    assert_eq!(got.status.as_u16(), subject.manners.get);

    subject.refreshed(&login).await;
}

pub(crate) async fn a_token_of_another_kind_is_no_refresh_token(subject: &Subject) {
    let (_, _, login) = subject.log_in().await;
    subject.assert_refused("never-seen", subject.manners.unknown).await;
    subject.assert_refused(login.access(), subject.manners.unknown).await;
    assert!(subject.is_live(&login).await);
    subject.refreshed(&login).await;
}

pub(crate) async fn userinfo_challenges_whoever_has_no_live_token(subject: &Subject) {
    let (_, _, login) = subject.log_in().await;
    for token in ["never-seen", login.refresh()] {
        let make = |request: reqwest::RequestBuilder| request.bearer_auth(token);
        let answer = subject.provider.ask(Method::GET, "userinfo_endpoint", make).await;
        assert_eq!(answer.status, 401);
        let challenge = &answer.challenge;
        assert!(
            challenge.starts_with("Bearer ") && challenge.contains(r#"error="invalid_token""#),
            "{challenge}"
        );
    }
}
