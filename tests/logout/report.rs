//! What log out says: what became of the tokens at the provider, where to send the browser, and
//! that a store has failed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;

use support::{
    Op, World,
    browser::{Cookie, cookie_of, get},
    endpoint, on_every_store, settle,
    variants::session_at,
};
use tower_sessions::Session;
use tower_token_refresh::{
    ClientAuth,
    Logout::{self, EndSession, KeepSession},
    RefreshErrorKind, Revocation, TokenEndpoint, Transport,
    testing::Endpoint,
    tower_sessions,
};

on_every_store! {
    async fn log_out_says_that_the_tokens_are_revoked_and_gives_the_id_token(world: World) {
        let id = world.log_in("alice").await;
        let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
        assert!(matches!(done.revocation, Revocation::Revoked));
        let id_token = done.id_token().expect("there was one");
        assert!(world.issuer.every_secret().iter().any(|token| token == id_token));
    }

    async fn log_out_of_a_session_without_tokens_ends_the_session(world: World) {
        let session = world.session_with(None, None);
        session.insert("cart", 3).await.unwrap();
        session.save().await.unwrap();
        let id = session.id().unwrap();

        let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

        assert!(matches!(done.revocation, Revocation::NothingToRevoke));
        assert_eq!(world.stored(id).await, None);
        assert_eq!(world.issuer.revocations(), 0);
    }

    async fn log_out_of_nobody_makes_no_session(world: World) {
        let session = world.session_with(None, None);
        for how in [EndSession, KeepSession] {
            let done = world.log_out(&session, how).await.unwrap().unwrap();
            assert!(matches!(done.revocation, Revocation::NothingToRevoke));
        }
        assert_eq!(world.sessions.calls(Op::Create), 0);
    }

    async fn log_out_succeeds_when_the_provider_refuses_to_revoke(world: World) {
        let id = world.log_in("alice").await;
        world.issuer.fail_next_at(Endpoint::Revocation, 503, "down for maintenance");

        let leaving = world.session(id);
        let done = world.log_out(&leaving, EndSession).await.unwrap().expect("logged out here");

        let Revocation::Failed(error) = done.revocation else { panic!("it was not revoked") };
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(world.stored(id).await, None);
    }

    async fn log_out_succeeds_when_the_provider_cannot_be_reached(world: World) {
        let id = world.log_in("alice").await;
        world.issuer.drop_request_next_at(Endpoint::Revocation);

        let leaving = world.session(id);
        let done = world.log_out(&leaving, EndSession).await.unwrap().expect("logged out here");

        assert!(matches!(done.revocation, Revocation::Failed(_)));
        assert_eq!(world.stored(id).await, None);
    }
}

/// Another process has refreshed since this one looked.
#[tokio::test]
async fn what_is_revoked_is_what_the_store_holds_now() {
    let world = World::on_memory();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (issuer, forms) = (world.issuer.clone(), sent.clone());
    let transport = Transport::new(tower::service_fn(move |request: ::http::Request<Bytes>| {
        forms.lock().unwrap().push(request.body().clone());
        let issuer = issuer.clone();
        async move {
            Ok::<_, std::io::Error>(issuer.exchange(request).await?.map(http_body_util::Full::new))
        }
    }));
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(world.issuer.issuer_url())
        .revocation_url(world.issuer.revocation_url())
        .transport(transport);
    let world = world.asking(endpoint);
    let id = world.log_in("alice").await;
    let leaving = world.request(id).await;
    world.expire();
    let elsewhere = world.restarted();
    elsewhere.valid_token(&session_at(&elsewhere, id)).await.expect("refreshed there");
    let newest = world.stored_refresh_token(id).await.unwrap();

    world.log_out(&leaving, EndSession).await.unwrap().expect("logged out");

    let sent = sent.lock().unwrap();
    let [form] = &sent[..] else { panic!("one revocation and nothing else: {}", sent.len()) };
    let mut fields = url::form_urlencoded::parse(form);
    assert!(fields.any(|(name, value)| name == "token" && value == newest));
}

#[tokio::test]
async fn nothing_is_revoked_where_that_is_turned_off() {
    let world = World::with(|builder| builder.revoke_on_log_out(false));
    let id = world.log_in("alice").await;
    let leaving = world.request(id).await;
    let mut flight = world.flight_at(support::races::Station::AfterPost, id).await;

    let done = world.log_out(&leaving, EndSession).await.unwrap().unwrap();
    flight.answer_meanwhile().await.expect_err("logged out");
    flight.land_alone().await;

    assert!(matches!(done.revocation, Revocation::TurnedOff));
    assert_eq!(world.issuer.revocations(), 0, "neither by logout nor by the flight");
    assert!(world.tokens.records().await[0].is_ended());
}

#[tokio::test]
async fn a_provider_without_a_revocation_endpoint_is_not_supported() {
    let world = World::on_memory();
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .transport(world.issuer.transport());
    let world = world.asking(endpoint);
    let id = world.log_in("alice").await;

    let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

    assert!(matches!(done.revocation, Revocation::NotSupported));
    assert_eq!(world.stored(id).await, None);
}

// The session store neither deletes nor writes: the caller is told, and still the login has ended.
#[tokio::test]
async fn log_out_over_a_session_store_that_fails_ends_the_login_all_the_same() {
    for how in [EndSession, KeepSession] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.unwrap();
        let slow = world.request(id).await;
        for op in [Op::Delete, Op::Save, Op::Create] {
            world.sessions.refuse(op);
        }

        let error = world.log_out(&world.session(id), how).await.unwrap().expect_err("it fails");

        assert_eq!(error.kind(), RefreshErrorKind::Unavailable, "{how:?}");
        world.assert_dead_at_the_provider();
        assert_eq!(world.tokens_of(&grant).await.ended_by(), Some("logout"), "{how:?}");
        for refresher in [world.refresher.clone(), world.restarted()] {
            let still_there = session_at(&refresher, id);
            refresher.valid_token(&still_there).await.expect_err("logged out");
        }
        let error = world.refresher.valid_token(&slow).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut, "{how:?}");
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_read_is_an_error_and_nothing_has_ended() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.sessions.fail_next(Op::Load);
    let error = world.log_out(&world.session(id), EndSession).await.unwrap().expect_err("it fails");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_store_that_panics_does_not_stop_the_revocation() {
    for (how, step) in
        [(EndSession, Op::Delete), (KeepSession, Op::Delete), (KeepSession, Op::Create)]
    {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        world.sessions.panic_next(step);

        let error = world.log_out(&leaving, how).await.unwrap().expect_err("the store panics");

        assert_eq!(error.kind(), RefreshErrorKind::Internal, "{step:?}");
        assert!(world.tokens.records().await[0].is_ended());
        world.assert_dead_at_the_provider();
    }
}

async fn log_out_by_http(how: Logout) -> (World, tower_sessions::session::Id, Cookie) {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let refresher = world.refresher.clone();
    let leave = move |session: Session| async move {
        refresher.log_out(&session, how).await.expect("logged out");
    };
    let app = axum::Router::new()
        .route("/leave", axum::routing::get(leave))
        .layer(world.refresher.session_layer());
    let cookie = cookie_of(&get(&app, "/leave", Some(id)).await);
    (world, id, cookie)
}

#[tokio::test]
async fn the_browser_loses_its_cookie_with_the_session() {
    let (world, id, cookie) = log_out_by_http(EndSession).await;
    assert_eq!(cookie, Cookie::Removed);
    assert_eq!(world.stored(id).await, None);
}

#[tokio::test]
async fn the_browser_gets_a_new_cookie_with_the_session_it_keeps() {
    let (world, id, cookie) = log_out_by_http(KeepSession).await;
    let Cookie::Set(kept) = cookie else { panic!("a new cookie, not {cookie:?}") };
    assert_ne!(kept, id);
    assert_eq!(world.pointer(kept).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_holds_a_log_out_up_for_two_seconds_at_most() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let revoking = world.issuer.gate_before(Endpoint::Revocation);
    let leaving = world.log_out(&world.session(id), EndSession);
    revoking.reached().await;

    tokio::time::advance(Duration::from_millis(1999)).await;
    settle().await;
    assert!(!leaving.is_finished(), "it waits for a while");
    tokio::time::advance(Duration::from_millis(1)).await;
    let done = leaving.await.unwrap().expect("logged out here");

    assert!(matches!(done.revocation, Revocation::InBackground), "{done:?}");
    assert_eq!(world.stored(id).await, None);
    assert!(done.id_token().is_some());
    revoking.open();
    settle().await;
    world.assert_dead_at_the_provider();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_revocation_in_the_background() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let revoking = world.issuer.gate_before(Endpoint::Revocation);
    let leaving = world.session(id);
    world.refresher.log_out(&leaving, EndSession).await.expect("logged out here");

    let refresher = world.refresher.clone();
    let down = tokio::spawn(async move { refresher.shutdown(Duration::from_secs(20)).await });
    settle().await;
    assert!(!down.is_finished());
    revoking.open();

    down.await.unwrap().expect("in time");
    world.assert_dead_at_the_provider();
}

fn with_an_end_session_endpoint(world: World) -> World {
    let endpoint = endpoint(&world.issuer).end_session_url("https://id.example/logout?theme=dark");
    world.asking(endpoint)
}

#[tokio::test]
async fn the_browser_is_sent_on_with_what_names_the_login_to_the_provider() {
    let world = with_an_end_session_endpoint(World::on_memory());
    let id = world.log_in("alice").await;
    let token = world.refresh(id).await;

    let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

    let url = done.end_session_url(Some("https://shop.example/?bye=1&x=y")).expect("there is one");
    let url = url::Url::parse(&url).unwrap();
    assert_eq!((url.host_str(), url.path()), (Some("id.example"), "/logout"));
    let query: Vec<_> = url.query_pairs().into_owned().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        query,
        [
            pair("theme", "dark"),
            pair("id_token_hint", done.id_token().expect("the newest")),
            pair("client_id", "web"),
            pair("post_logout_redirect_uri", "https://shop.example/?bye=1&x=y"),
        ]
    );
    assert_ne!(done.id_token(), Some(token.secret()));
    let url = done.end_session_url(None).expect("there is one");
    assert!(!url.contains("post_logout_redirect_uri"), "{url}");
}

#[tokio::test]
async fn a_log_out_of_nobody_sends_the_browser_on_without_a_hint() {
    let world = with_an_end_session_endpoint(World::on_memory());
    let session = world.session_with(None, None);
    let done = world.log_out(&session, EndSession).await.unwrap().unwrap();
    let url = done.end_session_url(None).expect("there is one");
    assert_eq!(url, "https://id.example/logout?theme=dark&client_id=web");
}

#[tokio::test]
async fn without_an_end_session_endpoint_the_browser_is_sent_nowhere() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
    assert_eq!(done.end_session_url(Some("https://shop.example/")), None);
}

#[tokio::test]
async fn what_a_log_out_has_done_prints_without_its_id_token() {
    let world = with_an_end_session_endpoint(World::on_memory());
    let id = world.log_in("alice").await;
    let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
    support::seal::assert_shows_no_token(&world, &format!("{done:?} {done:#?}"));
}
