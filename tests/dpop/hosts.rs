//! Hosts that redirect, and hosts that are never content.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use reqwest_middleware::ClientBuilder;
use support::World;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_token_refresh::{
    ApiHosts, BearerLayer, BearerMiddleware, DpopKey, LoginTokens, TokenSet,
};

use super::{bound_set, claims, log_in, scheme, world};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) const USE_NONCE: &str = r#"DPoP error="use_dpop_nonce", algs="ES256""#;

pub(crate) const BAD_TOKEN: &str = r#"DPoP error="invalid_token", algs="ES256""#;

/// A server of HTTP/1.1 that answers by `answer(path, headers)` with a whole head.
async fn server(
    answer: impl Fn(&str, &HeaderMap) -> String + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<(String, HeaderMap)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (kept, answer) = (seen.clone(), Arc::new(answer));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (kept, answer) = (kept.clone(), answer.clone());
            tokio::spawn(async move {
                let mut read = Vec::new();
                while !read.windows(4).any(|w| w == b"\r\n\r\n") {
                    let mut chunk = [0; 65536];
                    let n = stream.read(&mut chunk).await.unwrap();
                    if n == 0 {
                        return;
                    }
                    read.extend_from_slice(&chunk[..n]);
                }
                let text = String::from_utf8_lossy(&read).into_owned();
                let mut lines = text.split("\r\n");
                let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
                let mut headers = HeaderMap::new();
                for line in lines.take_while(|line| !line.is_empty()) {
                    let (name, value) = line.split_once(": ").unwrap();
                    headers.append(
                        http::HeaderName::try_from(name).unwrap(),
                        HeaderValue::from_str(value).unwrap(),
                    );
                }
                let head = answer(&path, &headers);
                kept.lock().unwrap().push((path, headers));
                let head = format!("{head}connection: close\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
            });
        }
    });
    (host, seen)
}

pub(crate) fn unauthorized(challenge: &str, nonce: Option<&str>) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_str(challenge).unwrap());
    if let Some(nonce) = nonce {
        headers.insert("dpop-nonce", HeaderValue::from_str(nonce).unwrap());
    }
    response
}

pub(crate) async fn call_rule(
    api: &ApiHosts,
    tokens: &LoginTokens,
    rule: impl Fn(&HeaderMap) -> Response<String> + Clone + Send + 'static,
) -> Response<String> {
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        let answer = rule(request.headers());
        async move {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(answer)
        }
    });
    let client = BearerLayer::new(tokens.clone(), api).layer(client);
    let request = Request::get("https://api.example.com/x").body(Full::default()).unwrap();
    client.oneshot(request).await.unwrap()
}

pub(crate) fn api(world: &World) -> ApiHosts {
    ApiHosts::new(["api.example.com"]).unwrap().clock(world.clock.clock())
}

/// What the foreign host sees, and what the API's next request carries.
async fn redirected(evil_nonce: String) -> (HeaderMap, serde_json::Value) {
    let world = world(|issuer| issuer);
    let tokens = log_in(&world).await;
    let (evil_host, evil) =
        server(move |_, _| format!("HTTP/1.1 200 OK\r\ndpop-nonce: {evil_nonce}\r\n")).await;
    let (api_host, seen) = server(move |path, _| match path {
        "/moved" => format!("HTTP/1.1 302 Found\r\nlocation: http://{evil_host}/x\r\n"),
        _ => "HTTP/1.1 200 OK\r\n".to_owned(),
    })
    .await;
    let hosts = ApiHosts::new([&api_host]).unwrap().clock(world.clock.clock());
    let client = ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap())
        .with(BearerMiddleware::new(tokens, &hosts))
        .build();
    let answer = client.get(format!("http://{api_host}/moved")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let answer = client.get(format!("http://{api_host}/ok")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let at_evil = evil.lock().unwrap()[0].1.clone();
    let next = seen.lock().unwrap().last().unwrap().clone();
    assert_eq!(next.0, "/ok");
    (at_evil, claims(&next.1))
}

#[tokio::test]
async fn a_foreign_host_does_not_set_the_apis_nonce() {
    let (_, next) = redirected("evil".into()).await;
    assert_eq!(next.get("nonce"), None, "the nonce of another host is in the API's proof");
}

/// nginx, Tomcat, Jetty: 8 KiB for the head. After one redirect nobody reaches the API any more.
#[tokio::test]
async fn a_giant_foreign_nonce_does_not_shut_the_api() {
    let world = world(|issuer| issuer);
    let tokens = log_in(&world).await;
    let other = log_in(&world).await;
    let evil_nonce = "n".repeat(4096);
    let (evil_host, _) =
        server(move |_, _| format!("HTTP/1.1 200 OK\r\ndpop-nonce: {evil_nonce}\r\n")).await;
    let (api_host, _seen) = server(move |path, headers| match path {
        "/moved" => format!("HTTP/1.1 302 Found\r\nlocation: http://{evil_host}/x\r\n"),
        _ if headers.get("dpop").is_some_and(|it| it.len() > 4096) => {
            "HTTP/1.1 431 Request Header Fields Too Large\r\n".to_owned()
        }
        _ => "HTTP/1.1 200 OK\r\n".to_owned(),
    })
    .await;
    let hosts = ApiHosts::new([&api_host]).unwrap().clock(world.clock.clock());
    let client = |tokens: LoginTokens| {
        ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap())
            .with(BearerMiddleware::new(tokens, &hosts))
            .build()
    };
    client(tokens).get(format!("http://{api_host}/moved")).send().await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        world.clock.advance(SECOND * 20);
        let answer = client(other.clone()).get(format!("http://{api_host}/ok")).send().await;
        answers.push(answer.unwrap().status().as_u16());
    }
    assert_eq!(answers, [200, 200, 200], "another user's calls");
}

#[tokio::test]
async fn an_api_that_takes_no_new_token_is_given_two_and_then_none() {
    let world = world(|issuer| issuer.access_token_lifetime(SECOND * 3600));
    let tokens = log_in(&world).await;
    let api = api(&world);
    for _ in 0..10 {
        world.clock.advance(SECOND * 11);
        let calls = Arc::new(AtomicUsize::new(0));
        let rule = move |_: &HeaderMap| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => unauthorized(BAD_TOKEN, None),
            n => unauthorized(USE_NONCE, Some(&format!("n-{n}"))),
        };
        call_rule(&api, &tokens, rule).await;
    }
    let refreshes = world.issuer.refreshes();
    assert!(
        refreshes <= 4,
        "in 110 s: {refreshes} refreshes, two in a row and then a pause of 60 s"
    );
}

#[tokio::test]
async fn from_bound_to_bearer_and_back_within_one_call() {
    for to_bearer in [true, false] {
        let world = world(|issuer| issuer);
        let response;
        let key = DpopKey::generate();
        let set = if to_bearer {
            bound_set(&world, &key)
        } else {
            response = world.issuer.log_in("alice");
            TokenSet::from_response(&response).unwrap().with_dpop_key(key)
        };
        let tokens = world.refresher.tokens(&world.refresher.adopt(set).await.unwrap());
        if to_bearer {
            world.issuer.edit_next(|body| body["token_type"] = "Bearer".into());
        }
        world.clock.advance(SECOND * 15);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let rule = move |headers: &HeaderMap| {
            let mut seen = kept.lock().unwrap();
            seen.push((scheme(headers).to_owned(), headers.contains_key("dpop")));
            match seen.len() {
                1 => unauthorized(BAD_TOKEN, None),
                2 if !to_bearer => unauthorized(USE_NONCE, Some("n")),
                _ => Response::new(String::new()),
            }
        };
        let answer = call_rule(&api(&world), &tokens, rule).await;
        assert_eq!(answer.status(), StatusCode::OK, "{to_bearer}");
        let seen = seen.lock().unwrap().clone();
        let (bound, plain) = (("DPoP".to_owned(), true), ("Bearer".to_owned(), false));
        let expected =
            if to_bearer { vec![bound, plain] } else { vec![plain, bound.clone(), bound] };
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn nonces_of_two_hosts_are_two() {
    let world = world(|issuer| issuer);
    let tokens = log_in(&world).await;
    let api = ApiHosts::new(["a.example", "b.example"]).unwrap().clock(world.clock.clock());
    let seen = Arc::new(Mutex::new(Vec::new()));
    for host in ["a.example", "b.example", "a.example:443"] {
        let kept = seen.clone();
        let client = service_fn(move |request: Request<Full<Bytes>>| {
            kept.lock().unwrap().push(claims(request.headers())["nonce"].clone());
            let nonce = HeaderValue::from_str(&format!("of-{}", request.uri().host().unwrap()));
            let mut answer = Response::new(String::new());
            answer.headers_mut().insert("dpop-nonce", nonce.unwrap());
            async move { Ok::<_, Infallible>(answer) }
        });
        let client = BearerLayer::new(tokens.clone(), &api).layer(client);
        let uri = format!("https://{host}/");
        client.oneshot(Request::get(uri).body(Full::default()).unwrap()).await.unwrap();
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, [serde_json::Value::Null, serde_json::Value::Null, "of-a.example".into()]);
}
