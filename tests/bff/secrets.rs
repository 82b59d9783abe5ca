//! Nothing that is logged, and no page, holds a token, a key, a code, a session id or what is in a
//! login's cookie.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tracing::Level;
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt};

use crate::{
    back_channel::{INDEX_KEY, from_provider},
    sealed::OLD,
    world::World,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// The runtime of a test has one thread, so all that is served logs here too.
#[tokio::test]
async fn no_log_line_holds_a_secret() {
    let lines = Lines::default();
    let levels = Targets::new().with_default(Level::INFO).with_targets([
        ("bff", Level::TRACE),
        ("tower_token_refresh", Level::TRACE),
        ("tower_http", Level::TRACE),
    ]);
    let writer = lines.clone();
    let layer = fmt::layer().with_writer(move || writer.clone()).with_filter(levels);
    let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let world =
        World::setup().setting("INDEX_KEY", INDEX_KEY).setting("TOKEN_KEYS", OLD).start().await;
    let (browser, issuer) = (world.browser(), world.issuer.issuer());
    let mut secrets = Vec::new();
    let mut pages = String::new();
    let mut end = async |callback: &str| {
        secrets.extend(browser.cookie_names());
        for name in browser.cookie_names() {
            secrets.extend(
                browser
                    .cookie(&name)
                    .unwrap()
                    .split('.')
                    .filter(|part| part.len() > 15)
                    .map(str::to_owned),
            );
        }
        pages += &browser.get(callback).await.text().await.unwrap();
        pages += &browser.get("/").await.text().await.unwrap();
        secrets.extend(browser.cookie("session"));
    };
    end(&browser.until_callback("/").await).await;
    end("/auth/callback?state=x&code=y").await;
    let callback = browser.until_callback("/").await;
    issuer.malformed_next();
    end(&callback).await;
    let callback = browser.until_callback("/").await;
    issuer.fail_next(
        400,
        r#"{"error":"free_Text-of-the-provider","error_description":"quotes a-secret-token"}"#,
    );
    end(&callback).await;
    let callback = browser.until_callback("/").await;
    issuer.edit_next(|answer| answer["id_token"] = answer["access_token"].clone());
    end(&callback).await;

    browser.log_in().await;
    world.clock.advance(Duration::from_secs(300));
    issuer.fail_next_oauth(400, "invalid_grant");
    assert_eq!(browser.api_status().await, 401);
    browser.log_in().await;
    browser.post("/auth/logout").await;
    browser.log_in().await;
    let logout_token = issuer.logout_token(Some("alice"), None);
    for status in [200, 400] {
        let answer =
            from_provider(&world, &format!("logout_token={logout_token}")).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
    assert_eq!(browser.api_status().await, 401);

    secrets.extend(issuer.every_secret());
    secrets.retain(|secret| secret != "session");
    secrets.extend(
        ["free_Text-of-the-provider", "a-secret-token", INDEX_KEY, OLD, &logout_token]
            .map(str::to_owned),
    );
    assert!(secrets.len() > 20, "there is something to look for");
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("a login or a logout failed"), "what is logged is seen: {logged}");
    for secret in secrets {
        assert!(!logged.contains(&secret), "{secret} in {logged}");
        assert!(!pages.contains(&secret), "{secret} in {pages}");
    }
}
