//! A single-page app in `STATIC_DIR`.

use std::path::PathBuf;

use reqwest::{Method, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    browser::Browser,
    world::{World, soon},
};

/// What browsers say that open a page.
const PAGE: [(&str, &str); 2] =
    [("accept", "text/html,application/xhtml+xml,*/*;q=0.8"), ("sec-fetch-mode", "navigate")];
const SCRIPT: [(&str, &str); 2] = [("accept", "*/*"), ("sec-fetch-mode", "no-cors")];

/// An app between files that nobody is to see.
struct App(PathBuf);

impl App {
    fn new() -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("app-{}", uuid::Uuid::new_v4()));
        let app = Self(dir);
        for (file, text) in [
            ("secret.txt", "secret"),
            ("app/index.html", "<!doctype html>the app"),
            ("app/assets/app.js", "run()"),
            ("app/.env", "secret"),
            ("app/.git/config", "secret"),
            ("app/.well-known/security.txt", "contact"),
            ("app/api/orders", "secret"),
        ] {
            let path = app.0.join(file);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("created");
            std::fs::write(path, text).expect("written");
        }
        app
    }

    /// Files under our own paths, which are nobody's to answer for.
    fn with_ours(self) -> Self {
        for file in ["app/auth/me", "app/healthz", "app/readyz"] {
            let path = self.0.join(file);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("created");
            std::fs::write(path, "secret").expect("written");
        }
        self
    }

    async fn start(&self) -> World {
        let dir = self.0.join("app");
        World::setup().setting("STATIC_DIR", dir.to_str().expect("text")).start().await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn asked(browser: &Browser, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = browser.request(Method::GET, path);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    browser.send(request).await
}

#[tokio::test]
async fn each_page_that_is_no_file_is_the_app() {
    let app = App::new();
    let world = app.start().await;
    let browser = world.browser();
    for path in
        ["/", "/index.html", "/orders", "/orders/7?x=1", "/users/john.doe", "/assets", "/apis"]
    {
        let page = asked(&browser, path, &PAGE).await;
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(page.headers()["content-type"], "text/html", "{path}");
        assert_eq!(page.headers()["cache-control"], "no-cache", "{path}");
        assert_eq!(page.headers()["x-content-type-options"], "nosniff", "{path}");
        assert!(
            page.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("frame-ancestors 'none'")
        );
        assert_eq!(page.text().await.unwrap(), "<!doctype html>the app", "{path}");
    }
    let old_browser = asked(&browser, "/orders", &PAGE[..1]).await;
    assert_eq!(old_browser.status(), 200);
}

#[tokio::test]
async fn a_file_is_itself_and_a_missing_one_is_a_404() {
    let app = App::new();
    let world = app.start().await;
    let browser = world.browser();
    let script = asked(&browser, "/assets/app.js", &SCRIPT).await;
    assert_eq!(script.headers()["content-type"], "text/javascript");
    assert!(!script.headers().contains_key("cache-control"));
    assert_eq!(script.text().await.unwrap(), "run()");
    for headers in [&SCRIPT[..], &SCRIPT[..1], &[], &[PAGE[0], SCRIPT[1]]] {
        let missing = asked(&browser, "/assets/gone.js", headers).await;
        assert_eq!(missing.status(), 404, "{headers:?}");
        assert_eq!(missing.text().await.unwrap(), "");
    }
    assert_eq!(
        asked(&browser, "/.well-known/security.txt", &[]).await.text().await.unwrap(),
        "contact"
    );
}

#[tokio::test]
async fn a_page_is_asked_for_anew_and_costs_a_304() {
    let app = App::new();
    let world = app.start().await;
    let browser = world.browser();
    for path in ["/", "/orders"] {
        let page = asked(&browser, path, &PAGE).await;
        for (name, condition) in [("etag", "if-none-match"), ("last-modified", "if-modified-since")]
        {
            let value = page.headers()[name].to_str().expect("ASCII");
            let again = asked(&browser, path, &[PAGE[0], PAGE[1], (condition, value)]).await;
            assert_eq!(again.status(), 304, "{path} {name}");
            assert_eq!(again.headers()["cache-control"], "no-cache");
        }
    }
}

/// The status line and the body: clients would tidy these paths up.
async fn raw(world: &World, path: &str) -> String {
    let accept = PAGE[0].1;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: app\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(world.authority()).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.expect("text");
    answer
}

#[tokio::test]
async fn nothing_beside_the_app_is_shown() {
    let app = App::new();
    let world = app.start().await;
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "//secret.txt",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/%2Egit/config",
    ] {
        let answer = raw(&world, path).await;
        assert!(!answer.ends_with("secret"), "{path}: {answer}");
    }
    for path in ["/.env", "/%2eenv", "/.git/config", "/assets%2F.env", "/assets%5c%2egit/config"] {
        assert!(raw(&world, path).await.starts_with("HTTP/1.1 404"), "{path}");
    }
}

#[tokio::test]
async fn our_own_paths_stay_ours() {
    let app = App::new();
    let world = app.start().await;
    let browser = world.browser();
    for path in ["/api", "/auth", "/auth/nothing", "/healthz/x"] {
        assert_eq!(asked(&browser, path, &PAGE).await.status(), 404, "{path}");
    }
    assert_eq!(asked(&browser, "/api/orders", &SCRIPT).await.status(), 401);
    assert_eq!(asked(&browser, "/healthz", &PAGE).await.text().await.unwrap(), "ok");
    assert_eq!(browser.post("/orders").await.status(), 405);
    let foreign = browser.request_of_anybody(Method::POST, "/orders");
    let foreign = foreign.header("origin", "https://evil.example");
    assert_eq!(browser.send(foreign).await.status(), 403, "the layers are around it");

    let browser = world.logged_in().await;
    assert_eq!(browser.api_status().await, 200);
    assert_eq!(browser.get("/auth/me").await.status(), 200);
}

#[tokio::test]
async fn no_file_answers_for_our_own_paths_however_they_are_spelt() {
    let app = App::new().with_ours();
    let world = app.start().await;
    for path in [
        "//api/orders",
        "/%61pi/orders",
        "/api%2forders",
        "//auth/me",
        "/%61uth/me",
        "//healthz",
        "/%68ealthz",
        "/ready%7a",
    ] {
        let mut stream = TcpStream::connect(world.authority()).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            world.authority()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
        assert!(!answer.contains("secret"), "{path}: {answer}");
    }
}
