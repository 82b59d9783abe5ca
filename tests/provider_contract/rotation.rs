//! What a login and a refresh bring.

use crate::{
    manners::Scope,
    subject::{Subject, Tokens, claims},
};

pub(crate) async fn a_login_and_a_refresh_bring_these_fields(subject: &Subject) {
    let manners = &subject.manners;
    let (user, _, login) = subject.log_in().await;
    let refreshed = subject.refreshed(&login).await;
    for tokens in [&login, &refreshed] {
        let answer = &tokens.0;
        assert_eq!(answer["token_type"], "Bearer");
        assert!(answer["expires_in"].as_u64().is_some_and(|seconds| seconds > 0));
        assert!(tokens.text("scope").split(' ').any(|scope| scope == "openid"));
        assert_eq!(
            tokens.claims()["sub"],
            user.subject.as_str(),
            "the ID token comes with every refresh"
        );
        assert_eq!(claims(tokens.access()).is_some(), manners.jwt_tokens);
        assert_eq!(claims(tokens.refresh()).is_some(), manners.jwt_tokens);
        for field in ["session_state", "refresh_expires_in", "not-before-policy"] {
            assert_eq!(answer.get(field).is_some(), manners.names_session, "{field}");
        }
        assert_eq!(tokens.claims().get("sid").is_some(), manners.names_session);
        assert_eq!(tokens.claims()["sid"], answer["session_state"]);
    }
    assert_eq!(login.0["scope"], refreshed.0["scope"]);
    assert_eq!(login.0["session_state"], refreshed.0["session_state"]);
}

pub(crate) async fn a_refresh_rotates_and_ends_no_access_token(subject: &Subject) {
    let (_, _, first) = subject.log_in().await;
    let second = subject.refreshed(&first).await;
    let third = subject.refreshed(&second).await;
    assert_ne!(first.refresh(), second.refresh());
    assert_ne!(second.refresh(), third.refresh());
    assert_ne!(first.access(), second.access());
    for tokens in [&first, &second, &third] {
        assert!(subject.is_live(tokens).await);
    }
}

pub(crate) async fn two_logins_of_a_browser_refresh_on_their_own(subject: &Subject) {
    let (user, browser, first) = subject.log_in().await;
    let second = subject.log_in_at(&browser, &user).await;
    assert_eq!(first.claims()["sid"], second.claims()["sid"], "one session of the browser");
    assert_eq!(first.0["session_state"], second.0["session_state"]);

    let (first_newer, second_newer) =
        (subject.refreshed(&first).await, subject.refreshed(&second).await);
    subject.refreshed(&first_newer).await;
    subject.refreshed(&second_newer).await;
    assert!(subject.is_live(&first).await && subject.is_live(&second).await);
}

pub(crate) async fn a_scope_is_narrowed_for_one_refresh_at_most(subject: &Subject) {
    let (_, _, login) = subject.log_in().await;
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", login.refresh()), ("scope", "openid")];
    let narrowed = subject.provider.grant(&form).await;
    assert_eq!(narrowed.status, 200);
    let expected = match subject.manners.narrowed_scope {
        Scope::Asked => "openid",
        Scope::Granted => login.text("scope"),
    };
    assert_eq!(narrowed.text("scope"), expected);
    let wide = subject.refreshed(&Tokens(narrowed.body)).await;
    assert_eq!(wide.text("scope"), login.text("scope"));
}
