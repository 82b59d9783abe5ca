//! Which headers go on, and which stay: what is about one connection, what is a secret of ours,
//! what a browser could make up.

use axum::{Router, response::AppendHeaders, routing::get};
use reqwest::Method;
use serde_json::Value;

use crate::{
    browser::set_cookies,
    world::{HTTPS, World, header},
};

async fn echoed(world: &World, headers: &[(&str, &str)]) -> Value {
    let browser = world.logged_in().await;
    let mut request = browser.request(Method::GET, "/api/orders");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser.send(request).await.json().await.expect("what the upstream was sent")
}

#[tokio::test]
async fn the_upstream_gets_our_token_and_never_the_browsers() {
    let world = World::new().await;
    let echoed = echoed(&world, &[("authorization", "Bearer of-the-browser")]).await;
    let sent = header(&echoed, "authorization");
    assert_eq!(sent.len(), 1);
    let token = sent[0].strip_prefix("Bearer ").expect("a bearer token");
    assert!(world.issuer.issuer().is_access_token_live(token));
}

#[tokio::test]
async fn the_upstream_gets_no_cookie_of_ours() {
    let world = World::new().await;
    let browser = world.logged_in().await;
    let echoed: Value = browser.get("/api/orders").await.json().await.unwrap();
    assert_eq!(header(&echoed, "cookie"), [""; 0], "ours alone: no header is left");

    browser.get("/auth/login").await;
    browser.set_cookie("basket", "7");
    browser.set_cookie("xsession", "8");
    assert_eq!(browser.cookie_names().len(), 4);
    // The upstream may read these as ours, and would take one for the user's.
    browser.set_cookie("%73ession", &browser.cookie("session").unwrap());
    browser.set_cookie("%6cogin-abc", "9");
    browser.set_cookie("", "login-abc=9");
    browser.set_cookie("\u{a0}login-abc", "9");
    let echoed: Value = browser.get("/api/orders").await.json().await.unwrap();
    assert_eq!(header(&echoed, "cookie"), ["basket=7; xsession=8"]);
}

#[tokio::test]
async fn over_https_our_cookies_have_other_names() {
    let world = World::setup().https().start().await;
    let browser = world.logged_in().await;
    browser.get("/auth/login").await;
    browser.set_cookie("session", "the upstream's own");
    let echoed: Value = browser.get("/api/orders").await.json().await.unwrap();
    assert_eq!(header(&echoed, "cookie"), ["session=the upstream's own"]);
}

#[tokio::test]
async fn the_upstream_may_set_cookies_but_none_of_ours() {
    let lines = [
        ("set-cookie", "session=evil; Path=/"),
        ("set-cookie", "basket=7; Path=/"),
        ("set-cookie", " session =evil"),
        ("set-cookie", "login-abc=evil"),
        ("set-cookie", "=session=evil"),
        ("set-cookie", "session"),
        ("set-cookie", "%73ession=evil; Path=/"),
        ("set-cookie", "sess%69on=evil"),
        ("set-cookie", "%6Cogin-abc=evil"),
        ("set-cookie", "xsession=8"),
    ];
    let upstream = Router::new().route("/orders", get(async move || AppendHeaders(lines)));
    let world = World::setup().upstream(upstream).start().await;
    let browser = world.logged_in().await;
    let response = browser.get("/api/orders").await;
    assert_eq!(set_cookies(&response), ["basket=7; Path=/", "xsession=8"]);
}

#[tokio::test]
async fn what_is_about_one_connection_stays_there() {
    let response_headers = [
        ("connection", "x-secret, close"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("trailer", "x-checksum"),
        ("upgrade", "h2c"),
        ("x-kept", "1"),
    ];
    let upstream =
        Router::new().route("/answer", get(async move || AppendHeaders(response_headers)));
    let world = World::setup().upstream(upstream).start().await;
    let browser = world.logged_in().await;
    let answer = browser.get("/api/answer").await;
    for name in ["x-secret", "keep-alive", "proxy-authenticate", "trailer", "upgrade", "connection"]
    {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    assert_eq!(answer.headers()["x-kept"], "1");

    let world = World::new().await;
    let echoed = echoed(
        &world,
        &[
            ("connection", "x-hop, keep-alive"),
            ("connection", "X-Other"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("keep-alive", "5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("trailer", "x-checksum"),
            ("expect", "100-continue"),
            ("x-kept", "1"),
        ],
    )
    .await;
    for name in [
        "connection",
        "x-hop",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "expect",
    ] {
        assert_eq!(header(&echoed, name), [""; 0], "{name}");
    }
    assert_eq!(header(&echoed, "x-kept"), ["1"]);
}

#[tokio::test]
async fn nobody_says_who_the_user_is_but_us() {
    let world = World::new().await;
    let made_up = [
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-access-token",
        "x-forwarded-uri",
        "x-auth-request-user",
        "x-authenticated-user",
        "client-cert",
        "remote-groups",
        "x-authentik-username",
        "tailscale-user-login",
        "x-pomerium-jwt-assertion",
        "x-consumer-username",
        "x-http-method-override",
        "fastly-client-ip",
        "cf-connecting-ipv6",
        "x-original-uri",
        "oidc-claim-sub",
        "x-amzn-oidc-identity",
        "x-goog-authenticated-user-email",
        "x-ms-client-principal-name",
        "x-webauth-user",
        "cf-access-authenticated-user-email",
        "x-auth-request-access-token",
        "remote-user",
        "x-remote-user",
        "proxy",
        "true-client-ip",
        "x-client-ip",
        "cf-connecting-ip",
        "via",
        "x-rewrite-url",
        // CGI and its heirs read these as if they had hyphens.
        "x_forwarded_for",
        "remote_user",
        "x_auth_request_user",
        "content_length",
    ];
    let mut headers: Vec<_> = made_up.iter().map(|name| (*name, "mallory")).collect();
    headers.push(("x-kept", "1"));
    let echoed = echoed(&world, &headers).await;
    for name in made_up {
        assert_eq!(header(&echoed, name), [""; 0], "{name}");
    }
    assert_eq!(header(&echoed, "x-kept"), ["1"]);
}

#[tokio::test]
async fn the_upstream_learns_the_browsers_way_from_us_alone() {
    let world = World::setup().https().start().await;
    let echoed = echoed(
        &world,
        &[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-port", "6"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
        ],
    )
    .await;
    let host = HTTPS.trim_start_matches("https://");
    assert_eq!(header(&echoed, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(header(&echoed, "x-forwarded-proto"), ["https"]);
    assert_eq!(header(&echoed, "x-forwarded-host"), [host]);
    assert_eq!(
        header(&echoed, "forwarded"),
        [format!("for=127.0.0.1;host=\"{host}\";proto=https")]
    );
    assert_eq!(header(&echoed, "x-forwarded-port"), [""; 0]);
    assert_eq!(header(&echoed, "x-real-ip"), [""; 0]);
    assert!(header(&echoed, "host")[0].starts_with("127.0.0.1:"), "the upstream's own");
    assert_eq!(header(&echoed, "host").len(), 1);
}
