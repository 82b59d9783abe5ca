//! The tokens in the session store: nobody can read them there, and a new key logs nobody out.

use std::time::Duration;

use crate::{browser::Browser, database::Database, world::World};

pub(crate) const OLD: &str = "b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0=";
const NEW: &str = "bmV3LWtleS1uZXcta2V5LW5ldy1rZXktbmV3LWtleS0=";

/// Whether a part of any token that the provider ever handed out lies in the store.
async fn shows_a_token(store: &Database, world: &World) -> bool {
    let records = store.records().await;
    assert!(!records.is_empty(), "there is a session");
    let secrets = world.issuer.issuer().every_secret();
    let parts: Vec<&str> =
        secrets.iter().flat_map(|secret| secret.split('.')).filter(|part| part.len() > 8).collect();
    assert!(parts.len() > 6, "there are tokens to look for");
    let holds =
        |record: &[u8], part: &str| record.windows(part.len()).any(|here| here == part.as_bytes());
    records.iter().any(|record| parts.iter().any(|part| holds(record, part)))
}

/// The browser that had this session, after a restart.
fn again(world: &World, session: &str) -> Browser {
    let browser = world.browser();
    browser.set_cookie("session", session);
    browser
}

#[tokio::test]
async fn a_record_shows_no_token() {
    for (keys, shown) in [("", true), (OLD, false)] {
        let store = Database::new();
        let world = World::setup()
            .setting("DATABASE_URL", store.url())
            .setting("TOKEN_KEYS", keys)
            .start()
            .await;
        let browser = world.logged_in().await;
        assert_eq!(shows_a_token(&store, &world).await, shown, "after the login");
        world.clock.advance(Duration::from_secs(300));
        assert_eq!(browser.api_status().await, 200);
        assert_eq!(world.issuer.issuer().refreshes(), 1);
        assert_eq!(shows_a_token(&store, &world).await, shown, "after a refresh");
    }
}

#[tokio::test]
async fn a_new_key_logs_nobody_out() {
    let store = Database::new();
    let mut world = World::setup()
        .setting("DATABASE_URL", store.url())
        .setting("TOKEN_KEYS", OLD)
        .start()
        .await;
    let session = world.logged_in().await.cookie("session").unwrap();

    world.restart(&[("TOKEN_KEYS", &format!("{NEW},{OLD}"))]).await;
    assert_eq!(again(&world, &session).api_status().await, 200, "the old key opens");
    world.restart(&[("TOKEN_KEYS", NEW)]).await;
    assert_eq!(
        again(&world, &session).api_status().await,
        401,
        "nothing is sealed anew without a reason"
    );

    world.restart(&[("TOKEN_KEYS", &format!("{NEW},{OLD}"))]).await;
    // SQLite's clock does not move with ours: whoever holds the token knows that it has expired.
    assert_eq!(again(&world, &session).api_status().await, 200);
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(again(&world, &session).api_status().await, 200);
    assert_eq!(world.issuer.issuer().refreshes(), 1);
    world.restart(&[("TOKEN_KEYS", NEW)]).await;
    assert_eq!(
        again(&world, &session).api_status().await,
        200,
        "the refreshed tokens are sealed with the new one"
    );
    assert!(!shows_a_token(&store, &world).await);
}

#[tokio::test]
async fn what_lay_there_before_is_sealed_with_its_next_refresh() {
    let store = Database::new();
    let mut world = World::setup().setting("DATABASE_URL", store.url()).start().await;
    let session = world.logged_in().await.cookie("session").unwrap();
    assert!(shows_a_token(&store, &world).await);

    world.restart(&[("TOKEN_KEYS", OLD)]).await;
    assert_eq!(again(&world, &session).api_status().await, 200, "it is still read");
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(again(&world, &session).api_status().await, 200);
    assert!(!shows_a_token(&store, &world).await);
}
