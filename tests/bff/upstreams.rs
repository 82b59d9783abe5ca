//! Several upstreams by path, and https to them.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, Uri},
    routing::any,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use support::bff::{Running, build};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tower_token_refresh::testing::StrictIssuer;

use crate::{
    browser::{Browser, location},
    world::World,
};

/// A refused token younger than 10 s is not refreshed.
const OLD_ENOUGH: Duration = Duration::from_secs(11);

/// An upstream that says its name and what it was asked for.
async fn named(name: &'static str) -> String {
    let answer = any(async move |uri: Uri| format!("{name} {uri}"));
    serve(Router::new().fallback(answer)).await
}

async fn serve(api: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, api).await });
    url
}

async fn text(browser: &Browser, path: &str) -> String {
    browser.get(path).await.text().await.expect("text")
}

#[tokio::test]
async fn the_longest_path_that_a_request_is_below_decides() {
    let (all, orders, old) = (named("all").await, named("orders").await, named("old").await);
    let upstreams = format!("/api/orders={orders}/v1 /api/orders/old={old}");
    let world = World::setup().upstream_at(all).setting("UPSTREAMS", upstreams).start().await;
    let browser = world.logged_in().await;
    for (asked, answer) in [
        ("/api/users?x=1", "all /users?x=1"),
        ("/api/", "all /"),
        ("/api/orders", "orders /v1"),
        ("/api/orders/", "orders /v1/"),
        ("/api/orders/7?x=1", "orders /v1/7?x=1"),
        ("/api/orders/older", "orders /v1/older"),
        ("/api/orders/old/7", "old /7"),
        ("/api/orders2", "all /orders2"),
        ("/api/users/%41nn", "all /users/%41nn"),
    ] {
        assert_eq!(text(&browser, asked).await, answer, "{asked}");
    }
    // Another spelling would have gone past the upstream that it is for.
    let respelt = [
        "/api/%6frders/7",
        "/api/orders/%6fld/7",
        "/api/orders/ol%64",
        "/api/orders;x/7",
        "/api/orders%3bx/7",
        "/api/;/orders/7",
        "/api/orders//old/7",
    ];
    for path in ["/api/orders/a%2fb", "/api/orders//evil.example"].into_iter().chain(respelt) {
        assert_eq!(browser.get(path).await.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn a_redirect_leads_below_the_path_of_its_own_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let to = format!("{url}/v1/8");
    let handler = any(async move || (StatusCode::FOUND, [("location", to)]));
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    let upstreams = format!("/api/orders={url}/v1");
    let world = World::setup().setting("UPSTREAMS", upstreams).start().await;
    let answer = world.logged_in().await.get("/api/orders/7").await;
    assert_eq!(location(&answer), format!("{}/api/orders/8", world.base));
}

/// After two new tokens in a row an API's 401s are passed on for a minute: that one's alone, also
/// where another one is at the same host.
#[tokio::test]
async fn an_api_that_refuses_all_tokens_is_no_other_ones_concern() {
    let was_asked = Arc::new(AtomicBool::new(false));
    let answer = any(async move |uri: Uri| {
        let is_well = uri.path() == "/orders" && was_asked.fetch_or(true, Ordering::SeqCst);
        if is_well { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    });
    let url = serve(Router::new().fallback(answer)).await;
    let upstreams = format!("/api/broken={url}/broken");
    let world = World::setup().upstream_at(url).setting("UPSTREAMS", upstreams).start().await;
    let browser = world.logged_in().await;
    for _ in 0..3 {
        world.clock.advance(OLD_ENOUGH);
        assert_eq!(browser.get("/api/broken").await.status(), 401);
    }
    world.clock.advance(OLD_ENOUGH);
    assert_eq!(browser.get("/api/orders").await.status(), 200, "it heals");
}

fn pem(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bff/tls")).join(name)
}

/// Serves `api` over TLS as `localhost`, by the certificate of the test's own authority; says its
/// port.
async fn serve_tls(api: Router) -> u16 {
    let certificates = CertificateDer::pem_file_iter(pem("localhost.pem")).expect("a file");
    let certificates = certificates.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(pem("localhost-key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("a certificate and its key");
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, api) = (tls.clone(), TowerToHyperService::new(api.clone()));
            tokio::spawn(async move {
                // Whoever does not trust the certificate leaves here.
                let Ok(stream) = tls.accept(stream).await else { return };
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), api).await;
            });
        }
    });
    port
}

/// The status of a call to an API over TLS, by a process that trusts this authority alone.
async fn status_over_tls(host: &str, authority: &str) -> u16 {
    let issuer = StrictIssuer::new().serve().await.expect("a free port");
    let says_token = any(async |headers: HeaderMap| {
        headers["authorization"].to_str().expect("ASCII").to_owned()
    });
    let port = serve_tls(Router::new().fallback(says_token)).await;
    let upstream = format!("https://{host}:{port}");
    let trusted = pem(authority);
    let more = [("SSL_CERT_FILE", trusted.to_str().expect("text"))];
    let bff = Running::start(&build(&[]), &issuer.issuer_url(), "web", &upstream, &more).await;
    let browser = Browser::new(&bff.url, &bff.url);
    browser.log_in().await;
    let answer = browser.get("/api/orders").await;
    let status = answer.status().as_u16();
    if status == 200 {
        let said = answer.text().await.expect("text");
        let token = said.strip_prefix("Bearer ").expect("a bearer token");
        assert!(issuer.issuer().is_access_token_live(token));
    }
    status
}

#[tokio::test]
async fn an_https_upstream_must_show_a_certificate_that_is_trusted_for_its_name() {
    assert_eq!(status_over_tls("localhost", "ca.pem").await, 200);
    assert_eq!(status_over_tls("localhost", "other-ca.pem").await, 502, "not trusted");
    assert_eq!(status_over_tls("127.0.0.1", "ca.pem").await, 502, "another name");
}
