//! A link may say where to go after the login, but only within this application.

use crate::{browser::location, world::World};

#[tokio::test]
async fn a_link_that_leads_elsewhere_leads_home() {
    let world = World::setup().routes(|routes| routes.home("/start")).start().await;
    for asked in [
        "//evil.example",
        "https://evil.example/",
        "/%5Cevil.example",
        "/%09/evil.example",
        "/%0d%0aset-cookie:a=b",
        "/.//evil.example",
        "",
        "orders",
        "javascript:alert(1)",
    ] {
        let browser = world.browser();
        let callback = browser.until_callback(asked).await;
        let to = location(&browser.get(&callback).await);
        assert_eq!(to, format!("{}/start", world.base), "{asked}");
    }
}

#[tokio::test]
async fn an_encoded_path_stays_what_it_is() {
    let world = World::new().await;
    for (asked, kept) in [
        ("/%252f%252fevil.example", "/%2f%2fevil.example"),
        ("/%255cevil.example", "/%5cevil.example"),
        ("/a%3Fb%3D1%23top", "/a?b=1#top"),
    ] {
        let browser = world.browser();
        let callback = browser.until_callback(asked).await;
        let to = location(&browser.get(&callback).await);
        assert_eq!(to, format!("{}{kept}", world.base), "{asked}");
    }
}
