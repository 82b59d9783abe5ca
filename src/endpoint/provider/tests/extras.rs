//! What the application adds to requests.

use super::*;

fn sent(endpoint: impl FnOnce(TokenEndpoint) -> TokenEndpoint) -> (Provider, Script) {
    let script = Script::default();
    let transport = script.answering(|_, _| answer(200, tokens().to_string()));
    let endpoint = endpoint(crate::endpoint::test_support::endpoint(transport))
        .revocation_url("https://id.example/revoke");
    (endpoint.validate().expect("settings that agree"), script)
}

#[tokio::test]
async fn every_request_says_who_sends_it() {
    let own = concat!("tower-token-refresh/", env!("CARGO_PKG_VERSION"));
    let (provider, script) = sent(|endpoint| endpoint);
    provider.refresh_always(&refresh_token()).await.expect("tokens");
    provider.revoke(&refresh_token(), TokenTypeHint::RefreshToken).await.expect("revoked");
    provider.fetch(&Uri::from_static("https://id.example/keys"), 100_000).await.expect("keys");
    assert_eq!(script.sent().len(), 3);
    for request in script.sent() {
        assert_eq!(request.headers()["user-agent"], own);
    }
    let (provider, script) = sent(|endpoint| endpoint.user_agent("my-app/1.0"));
    provider.refresh_always(&refresh_token()).await.expect("tokens");
    assert_eq!(script.sent()[0].headers()["user-agent"], "my-app/1.0");
}

#[tokio::test]
async fn parameters_are_in_the_form_of_a_refresh_and_in_no_other() {
    let (provider, script) = sent(|endpoint| {
        endpoint
            .refresh_param("scope", "openid email")
            .refresh_param("resource", "https://api.example/a")
            .refresh_param("resource", "https://api.example/b")
    });
    provider.refresh_always(&refresh_token()).await.expect("tokens");
    provider.revoke(&refresh_token(), TokenTypeHint::RefreshToken).await.expect("revoked");
    let forms = script.sent();
    let pairs: Vec<_> = url::form_urlencoded::parse(forms[0].body()).into_owned().collect();
    let value_of = |name: &str| {
        pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(value_of("scope"), ["openid email"]);
    assert_eq!(value_of("resource"), ["https://api.example/a", "https://api.example/b"]);
    assert_eq!(value_of("grant_type"), ["refresh_token"]);
    assert!(!String::from_utf8_lossy(forms[1].body()).contains("resource"));
}

#[tokio::test]
async fn a_header_is_sent_with_every_request_and_shown_nowhere() {
    let (provider, script) = sent(|endpoint| endpoint.header("X-Api-Key", SECRET));
    provider.refresh_always(&refresh_token()).await.expect("tokens");
    provider.revoke(&refresh_token(), TokenTypeHint::RefreshToken).await.expect("revoked");
    for request in script.sent() {
        assert_eq!(request.headers()["x-api-key"], SECRET);
        assert!(request.headers()["x-api-key"].is_sensitive());
    }
    assert!(!format!("{provider:?}").contains(SECRET));
}

#[test]
fn what_cannot_be_sent_or_is_ours_is_refused_without_its_value() {
    type Set = fn(TokenEndpoint) -> TokenEndpoint;
    let refused: [(Set, &str); 9] = [
        (|e| e.refresh_param("", SECRET), "refresh_param"),
        (|e| e.refresh_param("refresh_token", SECRET), "refresh_param"),
        (|e| e.refresh_param("client_secret", SECRET), "refresh_param"),
        (|e| e.header("Authorization", SECRET), "header"),
        (|e| e.header("content-type", SECRET), "header"),
        (|e| e.header("a b", SECRET), "header"),
        (|e| e.header("", SECRET), "header"),
        (|e| e.header("x-key", format!("{SECRET}\r\nx: y")), "x-key"),
        (|e| e.user_agent("a\nb"), "user_agent"),
    ];
    for (set, names) in refused {
        let transport = Script::default().answering(|_, _| answer(200, ""));
        let error =
            set(crate::endpoint::test_support::endpoint(transport)).validate().expect_err(names);
        let printed = everything_printed(&error);
        assert!(printed.contains(names) && !printed.contains(SECRET), "{printed}");
    }
}
