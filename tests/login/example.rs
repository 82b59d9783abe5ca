//! The examples that log in, as programs.

use std::process::Stdio;

use support::program::build_example;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::{Duration, timeout},
};

use crate::browser::{Browser, location};

/// The example, and a browser at its address. It ends with its handle.
async fn started(example: &str) -> (tokio::process::Child, String, Browser) {
    let mut command = Command::new(build_example(example, &[]));
    let command = command.arg("127.0.0.1:0").stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().expect("it runs");
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let line = timeout(Duration::from_secs(20), lines.next_line()).await;
    let line = line.expect("it says where it is").expect("text").expect("a line");
    let origin = line.strip_prefix("open ").expect("an address").to_owned();
    let browser = Browser::new(&origin, &origin.replace("localhost", "127.0.0.1"));
    (process, origin, browser)
}

#[tokio::test]
async fn it_logs_in_keeps_logged_in_and_logs_out() {
    let (_process, origin, browser) = started("login").await;
    assert!(browser.get("/").await.text().await.unwrap().contains("stranger"));
    assert_eq!(browser.get("/orders").await.status(), 401);
    let begun = browser.get("/login?return_to=/orders").await;
    let callback = browser.visit_provider(&begun).await;
    let done = browser.get(&callback).await;
    assert_eq!(location(&done), format!("{origin}/orders"));
    let orders = browser.get("/orders").await.text().await.unwrap();
    assert!(orders.contains("two books"), "{orders}");
    assert!(browser.get("/").await.text().await.unwrap().contains("Hello, alice"));

    assert_eq!(browser.post("/logout").await.status(), 303);
    assert_eq!(browser.get("/orders").await.status(), 401);
}

#[tokio::test]
async fn a_client_of_its_own_hands_its_tokens_over() {
    let (_process, _, browser) = started("openidconnect").await;
    let begun = browser.get("/login").await;
    let callback = browser.visit_provider(&begun).await;
    assert_eq!(browser.get(&callback).await.status(), 303);
    assert_eq!(browser.get("/").await.text().await.unwrap(), "hello, alice");
    assert_eq!(browser.get(&callback).await.status(), 400, "the state was used");
}
