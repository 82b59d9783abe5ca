//! The pages of `examples/bff` as people meet them: in light and in dark, on small screens and
//! large ones, with a keyboard or a screen reader.
//!
//! With `TEST_SCREENSHOTS` it leaves pictures in that folder.

use std::{env, fs, path::PathBuf, time::Duration};

use axum::Router;
use bytes::Bytes;
use fantoccini::{Client, Locator};
use http::Response;
use serde_json::json;
use support::{
    bff::{self, Running},
    providers::service,
};
use tokio::time::sleep;
use tower_token_refresh::testing::{Endpoint, StrictIssuer};

use crate::{
    api,
    chromium::{self, click, prefer, resize, text, until},
};

const SCHEMES: [&str; 2] = ["light", "dark"];
/// The narrowest that must do without scrolling sideways (WCAG 2.2, 1.4.10), and a usual one.
const SIZES: [(u32, u32); 2] = [(320, 640), (1280, 800)];
const PICTURES: [(&str, (u32, u32)); 2] = [("phone", (390, 844)), ("desktop", (1280, 800))];

/// Of axe-core: what it has found, as `rule: selectors`.
const AXE: &str = "const done = arguments[0];
axe.run({ rules: { 'target-size': { enabled: true } } }).then(
    ({ violations }) => done(violations.map(
        ({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(', ')}`)),
    (error) => done([String(error)]));";

/// What is wider than the screen, and what is too small for a finger.
const MEASURES: &str = "const root = document.documentElement;
return [root.scrollWidth - root.clientWidth, ...[...document.querySelectorAll('a, button:not([hidden])')]
    .map((target) => target.getBoundingClientRect()).filter(({ width, height }) => Math.min(width, height) < 44)
    .map(({ width, height }) => `${width} x ${height}`)];";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and axe-core: see tests/services/run"]
async fn everybody_can_use_every_page() {
    let axe = fs::read_to_string(service("TEST_AXE")).expect("axe-core's script");
    let issuer = StrictIssuer::new().serve().await.expect("a free port");
    let api = api::serve(Router::new()).await;
    let program = bff::build(&[]);
    let bff = Running::start(&program, &issuer.issuer_url(), "web", &api, &[]).await;
    let browser = chromium::open().await;
    let open = async |path: &str| browser.goto(&format!("{}{path}", bff.url)).await.unwrap();

    for path in ["/", "/nowhere", "/auth/callback"] {
        open(path).await;
        assert_usable(&browser, &axe, path).await;
    }

    open("/").await;
    click(&browser, Locator::LinkText("Log in")).await;
    browser.wait().for_element(Locator::Id("logout")).await.unwrap();
    assert_counts_down(&browser).await;
    picture(&browser, "home").await;
    assert_usable(&browser, &axe, "logged in").await;

    click(&browser, Locator::Id("logout")).await;
    browser.wait().for_url(&format!("{}/?logged_out", bff.url).parse().unwrap()).await.unwrap();
    assert_usable(&browser, &axe, "logged out").await;

    // A token that is as good as none, from a provider that then wants to be left alone.
    issuer.issuer().expires_in_next(1);
    open("/auth/login?return_to=/healthz").await;
    sleep(Duration::from_secs(1)).await;
    issuer.issuer().answer_next_at(Endpoint::Token, overloaded());
    open("/").await;
    browser.find(Locator::Id("retry")).await.expect("the page of an outage");
    picture(&browser, "outage").await;
    assert_usable(&browser, &axe, "outage").await;
    browser.close().await.unwrap();
}

fn overloaded() -> Response<Bytes> {
    let answer = Response::builder().status(503).header("retry-after", "60");
    answer.body(Bytes::new()).expect("a response")
}

/// In both schemes and at all sizes. The style is in force, so the policy allows it.
pub async fn assert_usable(browser: &Client, axe: &str, page: &str) {
    browser.execute(axe, vec![]).await.expect("axe-core runs");
    let mut grounds = Vec::new();
    for scheme in SCHEMES {
        prefer(browser, scheme).await;
        for size in SIZES {
            resize(browser, size).await;
            let found = browser.execute_async(AXE, vec![]).await.unwrap();
            assert_eq!(found, json!([]), "{page}, {scheme}, {size:?}");
            let measured = browser.execute(MEASURES, vec![]).await.unwrap();
            assert_eq!(measured, json!([0]), "{page}, {scheme}, {size:?}");
        }
        let ground = "return getComputedStyle(document.body).backgroundColor";
        grounds.push(browser.execute(ground, vec![]).await.unwrap());
    }
    assert_ne!(grounds[0], grounds[1], "{page} looks the same in {SCHEMES:?}");
}

/// The script runs, so the policy allows it.
async fn assert_counts_down(browser: &Client) {
    let first = text(browser, "#seconds").await;
    until("the seconds are counted", async || text(browser, "#seconds").await != first).await;
}

pub async fn picture(browser: &Client, page: &str) {
    let Some(folder) = env::var_os("TEST_SCREENSHOTS").map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("a folder");
    for scheme in SCHEMES {
        prefer(browser, scheme).await;
        for (name, size) in PICTURES {
            resize(browser, size).await;
            let png = browser.screenshot().await.unwrap();
            fs::write(folder.join(format!("{page}-{scheme}-{name}.png")), png).expect("a file");
        }
    }
}
