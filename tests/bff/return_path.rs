//! A link may say where to go after the login, but only within this application.

use crate::{
    app::{return_path::ReturnPath, settings::BaseUrl},
    browser::location,
    world::{World, settings_of},
};

fn base() -> BaseUrl {
    let required = [
        ("ISSUER_URL", "https://id.example"),
        ("CLIENT_ID", "web"),
        ("UPSTREAM_URL", "http://127.0.0.1:9000"),
    ];
    settings_of(&required).unwrap_or_else(|error| panic!("{error}")).base
}

#[test]
fn paths_of_this_application_are_kept() {
    for (asked, kept) in [
        ("/", "/"),
        ("/orders?page=2&q=a%20b", "/orders?page=2&q=a%20b"),
        ("/orders#top", "/orders#top"),
        ("orders", "/orders"),
        ("", "/"),
        ("?a=1", "/?a=1"),
        ("/a/../b", "/b"),
        ("http://127.0.0.1:8080/orders", "/orders"),
        ("/?next=https://evil.example", "/?next=https://evil.example"),
        // Of our own scheme and without slashes, it is a path.
        ("http:orders", "/orders"),
        ("/ä", "/%C3%A4"),
    ] {
        assert_eq!(
            ReturnPath::parse(asked, &base()).as_ref().map(ReturnPath::as_str),
            Some(kept),
            "{asked:?}"
        );
    }
}

#[test]
fn whatever_leads_elsewhere_is_refused() {
    let long = "/".to_owned() + &"a".repeat(512);
    for asked in [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "/a\\b",
        "https://evil.example/",
        "http://evil.example/",
        "https://127.0.0.1:8080/",
        "http://127.0.0.1:8081/",
        "http://127.0.0.1:8080@evil.example/",
        "http://user@127.0.0.1:8080/",
        "https:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:a@b",
        "/\t/evil.example",
        "\t//evil.example",
        "/\n/evil.example",
        "/\r\nset-cookie: a=b",
        " //evil.example",
        "/\0",
        "/\u{85}",
        "/\u{2028}/evil.example",
        "/.//evil.example",
        "/a/..//evil.example",
        "/%2e//evil.example",
        long.as_str(),
    ] {
        assert_eq!(ReturnPath::parse(asked, &base()), None, "{asked:?}");
    }
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_leads_home() {
    let world = World::new().await;
    for asked in
        ["//evil.example", "https://evil.example/", "/%5Cevil.example", "/%09/evil.example"]
    {
        let browser = world.browser();
        let callback = browser.until_callback(asked).await;
        assert_eq!(location(&browser.get(&callback).await), format!("{}/", world.base), "{asked}");
    }
}

#[tokio::test]
async fn a_cookie_that_was_tampered_with_leads_nowhere() {
    let world = World::new().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let name = browser.cookie_names().remove(0);
    let value = browser.cookie(&name).unwrap();
    let (kept, _) = value.rsplit_once('.').unwrap();
    // `//evil.example`
    browser.set_cookie(&name, &format!("{kept}.Ly9ldmlsLmV4YW1wbGU"));
    assert_eq!(browser.get(&callback).await.status(), 400);
}
