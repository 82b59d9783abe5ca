//! `Debug` of whatever an application may hold.

use base64::{Engine, prelude::BASE64_STANDARD};
use support::{World, tokens::key_of};
use tower::Layer;
use tower_sessions::MemoryStore;
use tower_token_refresh::{
    ClientAuth, Logout, StandardClaims, TokenEndpoint, TokenRefreshLayer, TokenRefresher,
    testing::MemoryTokens,
    token_store::{InSessions, SealKeys, TokenStore},
    tower_sessions,
};

use super::{CLIENT_SECRET, INDEX_KEY, SEAL_KEY, Secrets, refresher, with_keys, world};

#[tokio::test]
async fn no_debug_of_a_public_type_shows_a_secret() {
    let world = world();
    let transport = Some(world.issuer.transport());
    let world = World { refresher: refresher(&world, transport, with_keys), ..world };
    let refresher = &world.refresher;
    let session = world.session_with(None, None);
    let set = world.token_set("alice");
    let printed_set = format!("{set:?} {set:#?}");
    refresher.log_in(&session, set).await.expect("logged in");
    world.expire();
    let token = refresher.valid_token(&session).await.expect("refreshed");
    let claims = token.claims::<StandardClaims>().expect("a JWT");

    let id = session.id().expect("saved");
    let secrets = Secrets::of(&world.issuer).and_ids(&world, id).await;
    secrets.assert_absent_in("TokenSet", &printed_set);
    secrets.assert_absent_in_debug("AccessToken", &token);
    secrets.assert_absent_in_debug("AccessToken::header", &token.header());
    secrets.assert_absent_in_debug("StandardClaims", &claims);
    secrets.assert_absent_in_debug("TokenRefresher", refresher);
    secrets.assert_absent_in_debug("GuardedStore", &refresher.session_store());
    secrets.assert_absent_in_debug("SessionManagerLayer", &refresher.session_layer());
    secrets.assert_absent_in_debug("TokenRefreshLayer", &TokenRefreshLayer::new(refresher));
    let service = TokenRefreshLayer::new(refresher).layer(axum::Router::<()>::new());
    secrets.assert_absent_in_debug("TokenRefreshService", &service);
    secrets.assert_absent_in_debug("Usage", &refresher.usage());
    secrets.assert_absent_in_debug("StrictIssuer", &world.issuer);
    secrets.assert_absent_in_debug("Transport", &world.issuer.transport());
    for auth in [ClientAuth::basic, ClientAuth::post] {
        let auth = auth("web".to_owned(), CLIENT_SECRET.to_owned());
        secrets.assert_absent_in_debug("ClientAuth", &auth);
        let discover = TokenEndpoint::discover("https://id.example.com", auth.clone());
        secrets.assert_absent_in_debug("Discover", &discover);
        let endpoint = TokenEndpoint::new("https://id.example.com/token", auth);
        secrets.assert_absent_in_debug("TokenEndpoint", &endpoint);
        let builder = with_keys(TokenRefresher::builder(endpoint, MemoryStore::default()));
        secrets.assert_absent_in_debug("TokenRefresherBuilder", &builder);
    }
    let logged_out = refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    assert!(logged_out.id_token().is_some());
    secrets.assert_absent_in_debug("LogoutOutcome", &logged_out);
}

/// With and without seal keys: it is for stores that other people write.
#[tokio::test]
async fn no_debug_of_what_a_token_store_sees_shows_a_secret() {
    for world in [World::on_memory(), World::on_memory_sealed()] {
        let id = world.log_in("alice").await;
        let key = key_of(&world.pointer(id).await.expect("logged in"));
        let secrets = Secrets::of(&world.issuer).and_ids(&world, id).await;
        let loaded = world.tokens.load(key).await.expect("loaded");
        let record = loaded.record.clone().expect("a record");
        secrets.assert_absent_in_debug("Loaded", &loaded);
        secrets.assert_absent_in_debug("TokenRecord", &record);
        secrets.assert_absent_in_debug("RecordState", &record.state());
        secrets.assert_absent_in_debug("RecordVersion", &record.version());
        secrets.assert_absent_in_debug("RecordKey", &key);
        secrets.assert_absent_in("RecordKey", &key.to_string());
        secrets.assert_absent_in_debug("InSessions", &InSessions::new(world.sessions.clone()));
        let swapping = MemoryTokens::new();
        swapping.create(key, &record, &[]).await.expect("created");
        secrets.assert_absent_in_debug("MemoryTokens", &swapping);
    }
}

/// tower-sessions prints all that is in a session; tokens are not.
#[tokio::test]
async fn a_printed_session_shows_no_token() {
    let world = world();
    let session = world.session_with(None, None);
    world.log_in_on(&session, "alice").await;
    let id = session.id().expect("saved");
    let (read, changed) = (world.request(id).await, world.request(id).await);
    changed.insert("cart", 3).await.expect("loaded");
    world.expire();
    for refreshed in [&read, &changed] {
        world.refresher.valid_token(refreshed).await.expect("refreshed");
    }
    let secrets = Secrets::of(&world.issuer);
    for session in [&session, &read, &changed] {
        secrets.assert_absent_in_debug("Session", session);
    }
    secrets.assert_absent_in_debug("Record", &world.stored(id).await.expect("a record"));
}

#[tokio::test]
async fn neither_keys_nor_what_is_wrong_with_them_are_printed() {
    let key = BASE64_STANDARD.encode(SEAL_KEY);
    let keys = SealKeys::from_base64(&key).expect("a key");
    let world = world();
    let secrets = Secrets(vec![
        key.clone(),
        String::from_utf8_lossy(SEAL_KEY).into_owned(),
        format!("{SEAL_KEY:?}"),
        INDEX_KEY.to_owned(),
        INDEX_KEY[..31].to_owned(),
    ]);
    secrets.assert_absent_in_debug("SealKeys", &keys);
    let refresher = refresher(&world, Some(world.issuer.transport()), with_keys);
    secrets.assert_absent_in_debug("TokenRefresher", &refresher);
    for wrong in [&key[..40], &key[..43].replace('c', "!"), &format!("{key},{key}{key}")] {
        secrets.assert_absent_in_error(&SealKeys::from_base64(wrong).expect_err("no key"));
    }
    let endpoint = TokenEndpoint::new("https://id.example.com/token", ClientAuth::none("web"))
        .issuer("https://id.example.com")
        .jwks_url("https://id.example.com/keys");
    let too_short = TokenRefresher::builder(endpoint, MemoryStore::default())
        .back_channel_logout(&INDEX_KEY[..31])
        .build();
    secrets.assert_absent_in_error(&too_short.expect_err("31 bytes"));
}
