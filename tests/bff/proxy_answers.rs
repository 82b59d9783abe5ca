//! What an upstream may say to the browser: about its resources, and nothing about our origin.

use axum::{Router, http::StatusCode, response::AppendHeaders, routing::get};
use reqwest::Response;
use tokio::net::TcpListener;

use crate::{
    browser::location,
    world::{HTTPS, World},
};

type Lines = &'static [(&'static str, &'static str)];

/// The answer that a browser gets where the upstream's has these headers.
async fn answer(lines: Lines) -> Response {
    let headers: Vec<_> = lines.to_vec();
    let handler = get(async move || AppendHeaders(headers));
    let upstream = Router::new().route("/orders", handler);
    let world = World::setup().upstream(upstream).start().await;
    world.logged_in().await.get("/api/orders").await
}

fn all<'a>(response: &'a Response, name: &str) -> Vec<&'a str> {
    let lines = response.headers().get_all(name).iter();
    lines.map(|line| line.to_str().expect("ASCII")).collect()
}

#[tokio::test]
async fn an_answer_is_kept_nowhere_and_is_what_it_says_unless_the_upstream_says_otherwise() {
    let plain = answer(&[]).await;
    assert_eq!(all(&plain, "cache-control"), ["private, no-store"]);
    assert_eq!(all(&plain, "x-content-type-options"), ["nosniff"]);
    assert_eq!(all(&plain, "vary"), [""; 0]);
    let own = answer(&[("cache-control", "public, max-age=60")]).await;
    assert_eq!(all(&own, "cache-control"), ["public, max-age=60"]);
}

/// To the upstream the request had `Authorization`, so that a bare `max-age` is for the browser.
#[tokio::test]
async fn no_cache_in_between_keeps_a_users_answer_unless_the_upstream_says_that_it_may() {
    for (said, seen) in [
        ("max-age=60", &["max-age=60", "private"][..]),
        ("max-age=60, must-revalidate", &["max-age=60, must-revalidate", "private"]),
        ("max-age=60, x=\"public\"", &["max-age=60, x=\"public\"", "private"]),
        ("no-cache=\"a, public\"", &["no-cache=\"a, public\"", "private"]),
        ("max-age=60, Private", &["max-age=60, Private"]),
        ("no-store", &["no-store", "private"]),
    ] {
        let lines = [("cache-control", said), ("vary", "Accept")];
        let answer = answer(Box::leak(Box::new(lines))).await;
        assert_eq!(all(&answer, "cache-control"), seen);
        assert_eq!(all(&answer, "vary"), ["Accept", "Cookie"], "{said}");
    }
    for shared in ["Public, max-age=60", "s-maxage=60", "max-age=1,  s-maxage = 9"] {
        let answer = answer(Box::leak(Box::new([("cache-control", shared)]))).await;
        assert_eq!(all(&answer, "cache-control"), [shared]);
    }
}

#[tokio::test]
async fn what_is_about_our_origin_is_not_the_upstreams_to_say() {
    let lines: Lines = &[
        ("strict-transport-security", "max-age=0"),
        ("clear-site-data", "\"*\""),
        ("alt-svc", "h2=\"evil.example:443\""),
        ("service-worker-allowed", "/"),
        ("accept-ch", "sec-ch-ua-model"),
        ("cdn-cache-control", "max-age=60"),
        ("critical-ch", "sec-ch-ua-model"),
        ("nel", "{\"report_to\":\"x\",\"max_age\":60}"),
        ("origin-agent-cluster", "?0"),
        ("report-to", "{\"max_age\":60}"),
        ("reporting-endpoints", "x=\"https://evil.example\""),
        ("set-login", "logged-out"),
        ("surrogate-control", "max-age=60"),
        ("x-accel-expires", "3600"),
        ("x-accel-redirect", "/internal"),
        ("x-sendfile", "/etc/passwd"),
        ("x-litespeed-cache-control", "public, max-age=60"),
        ("netlify-cdn-cache-control", "public, max-age=60"),
        ("edge-control", "max-age=60"),
        ("secure-session-registration", "(ES256);path=\"/x\""),
        ("expect-ct", "max-age=60"),
        ("set-cookie2", "a=b"),
        ("timing-allow-origin", "*"),
        ("access-control-allow-origin", "https://evil.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "x-kept"),
        ("x-kept", "1"),
    ];
    let answer = answer(lines).await;
    for (name, _) in &lines[..lines.len() - 1] {
        assert!(!answer.headers().contains_key(*name), "{name}");
    }
    assert_eq!(all(&answer, "x-kept"), ["1"]);
}

#[tokio::test]
async fn the_upstream_cannot_have_the_browser_ask_for_a_password() {
    let answer = answer(&[
        ("www-authenticate", "Basic realm=\"shop\""),
        ("www-authenticate", "Bearer error=\"insufficient_scope\", basic realm=x"),
        ("www-authenticate", "Negotiate"),
        ("www-authenticate", "Bearer realm=\"basic\""),
    ])
    .await;
    assert_eq!(all(&answer, "www-authenticate"), ["Bearer realm=\"basic\""]);
}

/// Where the browser is sent if the upstream below `/v1` answers with this `Location`, in which
/// `UPSTREAM` is its own address.
async fn redirected(to: &str) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = listener.local_addr().expect("an address").to_string();
    let to = to.replace("UPSTREAM", &authority);
    let handler = get(async move || (StatusCode::FOUND, [("location", to)]));
    let upstream = Router::new().route("/v1/orders", handler);
    tokio::spawn(async move { axum::serve(listener, upstream).await });
    let setup = World::setup().upstream_at(format!("http://{authority}")).upstream_path("/v1");
    let world = setup.https().start().await;
    let answer = world.logged_in().await.get("/api/orders").await;
    assert_eq!(answer.status(), 302);
    answer.headers().contains_key("location").then(|| location(&answer))
}

#[tokio::test]
async fn a_redirect_within_the_upstream_leads_to_our_address_of_it() {
    for (to, seen) in [
        ("http://UPSTREAM/v1/orders/7?x=%20&y#z", "/api/orders/7?x=%20&y#z"),
        ("http://UPSTREAM/v1", "/api/"),
        ("HTTP://UPSTREAM/v1/", "/api/"),
        ("//UPSTREAM/v1/a", "/api/a"),
        ("http://user@UPSTREAM/v1/a", "/api/a"),
        ("https://UPSTREAM/v1/a", "/api/a"),
        ("/v1/orders/7?x=1", "/api/orders/7?x=1"),
        ("/v1/x/../a", "/api/a"),
        ("orders/8", "/api/orders/8"),
        ("../v1/x", "/api/x"),
        ("?page=2", "/api/orders?page=2"),
        // As frameworks write it that know us as `X-Forwarded-Host`.
        ("https://shop.example.test/v1/orders/7", "/api/orders/7"),
        ("https://shop.example.test/api/orders/7", "/api/orders/7"),
    ] {
        assert_eq!(redirected(to).await, Some(format!("{HTTPS}{seen}")), "{to}");
    }
    // What lies beside the API has no address here, and nobody learns the internal one.
    for to in [
        "http://UPSTREAM/login",
        "http://UPSTREAM/v10",
        "//UPSTREAM/v1/../x",
        "/elsewhere",
        "/v1/..",
        "../admin",
        // By our https this is a path, and by the upstream's http a host.
        "https:/v1/orders/7",
    ] {
        assert_eq!(redirected(to).await, None, "{to}");
    }
    for to in ["https://id.example/v1", "//other.example/v1"] {
        assert_eq!(redirected(to).await.as_deref(), Some(to));
    }
}

#[tokio::test]
async fn of_two_locations_neither_is_passed_on() {
    let two = answer(&[("location", "https://id.example/"), ("location", "/orders/7")]).await;
    assert_eq!(all(&two, "location"), [""; 0]);
}
