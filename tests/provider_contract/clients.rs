//! Who is asking.

use reqwest::Method;
use support::providers::{Answer, CLIENT_ID, CLIENT_SECRET};

use crate::{
    manners::Refused,
    subject::{Subject, Tokens},
};

type Credentials<'a> = (Option<(&'a str, &'a str)>, &'a [(&'a str, &'a str)]);

async fn refresh_as(
    subject: &Subject,
    tokens: &Tokens,
    (basic, in_form): Credentials<'_>,
) -> Answer {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    form.extend(in_form);
    let make = |request: reqwest::RequestBuilder| {
        let request = request.form(&form);
        match basic {
            Some((id, secret)) => request.basic_auth(id, Some(secret)),
            None => request,
        }
    };
    subject.provider.ask(Method::POST, "token_endpoint", make).await
}

pub(crate) async fn a_wrong_client_is_refused_and_consumes_nothing(subject: &Subject) {
    let manners = &subject.manners;
    let (_, _, login) = subject.log_in().await;
    let id = ("client_id", CLIENT_ID);
    let expected: [(Credentials<'_>, Refused); 5] = [
        ((Some((CLIENT_ID, "wrong")), &[]), manners.wrong_secret),
        ((None, &[id, ("client_secret", "wrong")]), manners.wrong_secret_in_form),
        ((None, &[id]), manners.wrong_secret_in_form),
        ((Some(("nobody", CLIENT_SECRET)), &[]), manners.unknown_client),
        ((None, &[]), manners.no_client),
    ];
    for (credentials, refused) in expected {
        refused.check(&refresh_as(subject, &login, credentials).await);
    }
    subject.refreshed(&login).await;
}

pub(crate) async fn a_client_may_name_itself_in_the_form(subject: &Subject) {
    let (_, _, login) = subject.log_in().await;
    let (id, secret) = (("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET));
    let by_form = refresh_as(subject, &login, (None, &[id, secret])).await;
    assert_eq!(by_form.status, 200);
    let newer = Tokens(by_form.body);

    let both = refresh_as(subject, &newer, (Some((CLIENT_ID, CLIENT_SECRET)), &[id, secret])).await;
    match subject.manners.two_ways_at_once {
        Some(refused) => {
            refused.check(&both);
            subject.refreshed(&newer).await;
        }
        None => assert_eq!(both.status, 200),
    }
}

pub(crate) async fn a_public_client_sends_its_id(subject: &Subject) {
    let subject = subject.with_public_client().await;
    let (_, _, login) = subject.log_in().await;
    let newer = subject.refreshed(&login).await;
    let with_secret =
        refresh_as(&subject, &newer, (None, &[("client_id", "spa"), ("client_secret", "guess")]))
            .await;
    // What was presented last: within a second Keycloak takes an older token for a newer one.
    let consumed = match subject.manners.public_client_with_secret {
        Some(refused) => {
            refused.check(&with_secret);
            &login
        }
        None => {
            assert_eq!(with_secret.status, 200);
            &newer
        }
    };
    subject.assert_refused(consumed.refresh(), subject.manners.reused).await;
    assert!(!subject.is_live(&newer).await, "rotation holds for it as well");
}
