//! The page of `examples/demo`: somebody presses its button with each of its switches, and what it
//! then says is what the providers have counted.
//!
//! With `TEST_SCREENSHOTS` it leaves pictures in that folder.

use std::{env, fs, path::PathBuf};

use fantoccini::{Client, Locator, key::Key};
use serde_json::{Value, json};
use support::{demo::Demo, providers::service};

use crate::{
    chromium::{self, click, prefer, prefer_stillness, resize, text, until},
    pages::assert_usable,
};

const SWITCHES: [&str; 5] = ["slow", "down", "leader_leaves", "log_out", "two_processes"];
const USUAL: usize = 50;

/// Labels are part of what a finger may meet.
const SMALL_LABELS: &str = "return [...document.querySelectorAll('label')]
    .filter((label) => label.getBoundingClientRect().height < 44).map((label) => label.textContent);";
const DRAWN: &str = "return document.querySelectorAll('#ours svg path[d]').length";
const ISSUERS: &str = "const [done] = arguments;
    fetch('/issuers', { cache: 'no-store' }).then((answer) => answer.json()).then(done, done);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and axe-core: see tests/services/run"]
async fn every_switch_shows_what_the_providers_have_counted() {
    let axe = fs::read_to_string(service("TEST_AXE")).expect("axe-core's script");
    let (demo, browser) = (Demo::start().await, chromium::open().await);
    browser.goto(&demo.url).await.unwrap();
    until("the page is connected", async || text(&browser, "#state").await.contains("Nothing"))
        .await;
    assert_usable(&browser, &axe, "at first").await;
    let page = Page { browser: &browser };

    for (run, requests) in [(1, 1), (2, 1_000), (3, USUAL)] {
        page.enter(requests).await;
        page.fire(run).await;
        let ways = page.counted(requests).await;
        assert_kept(&ways, "200");
        assert_eq!(ways.naive.logged_in.starts_with("yes"), requests == 1);
        if requests > 1 {
            assert_eq!((ways.naive.posts, ways.naive.granted), (requests, 1));
            assert_eq!(ways.naive.login_alive, json!(false), "it was taken for theft");
            assert_usable(&browser, &axe, &format!("{requests} requests")).await;
            page.picture(if requests == USUAL { "demo" } else { "demo-1000" }).await;
        }
    }

    for (run, switch) in (4..).zip(SWITCHES) {
        click(&browser, Locator::Id(switch)).await;
        page.fire(run).await;
        let ways = page.counted(USUAL).await;
        match switch {
            "down" => {
                assert_eq!((ways.ours.granted, &*ways.ours.answers), (0, "50 × 503"));
                assert!(ways.ours.posts < 5, "{}", ways.ours.posts);
                assert_eq!((ways.naive.posts, ways.naive.granted), (USUAL, 0));
                assert_eq!(ways.naive.answers, "50 × 401");
                assert_eq!(ways.ours.logged_in, "yes");
            }
            "leader_leaves" => {
                assert_kept(&ways, "49 × 200, 1 gone");
                assert!(ways.naive.answers.ends_with("1 gone"), "{}", ways.naive.answers);
            }
            "log_out" => {
                assert_eq!((ways.ours.posts, ways.ours.granted), (1, 1));
                assert_eq!(ways.ours.answers, "50 × 401");
                assert_eq!(ways.ours.logged_in, "no, as the user wanted");
                assert_eq!(ways.ours.login_alive, json!(false), "what came later was revoked");
            }
            _ => assert_kept(&ways, "50 × 200"),
        }
        if switch != "down" {
            assert_eq!(ways.naive.logged_in, "no: the login is lost", "{switch}");
        }
        assert_usable(&browser, &axe, switch).await;
        page.picture(&format!("demo-{switch}")).await;
        click(&browser, Locator::Id(switch)).await;
    }
    browser.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium: see tests/services/run"]
async fn it_is_run_by_keyboard_and_does_not_move_for_whoever_wants_that() {
    let (demo, browser) = (Demo::start().await, chromium::open().await);
    browser.goto(&demo.url).await.unwrap();
    until("the page is connected", async || text(&browser, "#state").await.contains("Nothing"))
        .await;
    let page = Page { browser: &browser };
    let all_labels = browser.execute(SMALL_LABELS, vec![]).await.unwrap();
    assert_eq!(all_labels, json!([]), "too small for a finger");

    // Into the number, over all switches, two of which are set, and to the button.
    page.enter(20).await;
    let tab = String::from(char::from(Key::Tab));
    for switch in SWITCHES {
        page.press(&tab).await;
        if matches!(switch, "slow" | "two_processes") {
            page.press(" ").await;
        }
    }
    page.press(&tab).await;
    page.press(&String::from(char::from(Key::Enter))).await;
    let moving = async || browser.execute(DRAWN, vec![]).await.unwrap() != json!(0);
    until("it is drawn while it runs", async || moving().await).await;
    assert!(text(&browser, "#state").await.ends_with('…'), "it still runs");
    page.until_over(1).await;
    assert_eq!(page.counted(20).await.ours.answers, "20 × 200");

    prefer_stillness(&browser).await;
    browser.refresh().await.unwrap();
    page.until_over(1).await;
    let (_, before) = page.seen().await;
    page.start().await;
    until("it runs", async || page.seen().await.0.ends_with('…')).await;
    until("it is over", async || {
        let (state, drawn) = page.seen().await;
        assert!(drawn == before || !state.ends_with('…'), "it moves while: {state}");
        !state.ends_with('…')
    })
    .await;
    page.until_over(2).await;
    assert!(page.seen().await.1 != before, "the end of it is drawn");
    prefer(&browser, "light").await;
    browser.close().await.unwrap();
}

/// One refresh, and the login is as good as before.
fn assert_kept(ways: &Ways, answers: &str) {
    assert_eq!((ways.ours.posts, ways.ours.granted), (1, 1));
    assert!(ways.ours.answers.ends_with(answers), "{}", ways.ours.answers);
    assert_eq!((&*ways.ours.logged_in, &ways.ours.login_alive), ("yes", &json!(true)));
}

struct Ways {
    ours: Shown,
    naive: Shown,
}

/// What the page says of one way, and, of the login, the provider.
struct Shown {
    posts: usize,
    granted: usize,
    answers: String,
    logged_in: String,
    login_alive: Value,
}

struct Page<'a> {
    browser: &'a Client,
}

impl Page<'_> {
    async fn enter(&self, requests: usize) {
        let field = self.browser.find(Locator::Id("requests")).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(&requests.to_string()).await.unwrap();
    }

    /// A key, wherever the focus is.
    async fn press(&self, key: &str) {
        self.browser.active_element().await.unwrap().send_keys(key).await.unwrap();
    }

    async fn start(&self) {
        click(self.browser, Locator::Id("fire")).await;
    }

    async fn fire(&self, run: usize) {
        self.start().await;
        self.until_over(run).await;
    }

    async fn until_over(&self, run: usize) {
        let over = format!("Run {run} is over");
        until(&over, async || {
            let state = text(self.browser, "#state").await;
            assert!(!state.contains("failed") && !state.contains("did not"), "{state}");
            state.starts_with(&over)
        })
        .await;
    }

    /// What it says of the run and what it draws, at one moment.
    async fn seen(&self) -> (String, String) {
        let script = "return ['state', 'ours'].map((id) => document.getElementById(id).innerHTML)";
        let seen = self.browser.execute(script, vec![]).await.unwrap();
        serde_json::from_value(seen).expect("two texts")
    }

    /// Of the whole page.
    async fn picture(&self, name: &str) {
        let Some(folder) = env::var_os("TEST_SCREENSHOTS").map(PathBuf::from) else { return };
        fs::create_dir_all(&folder).expect("a folder");
        for (scheme, device, width) in [("light", "desktop", 1120), ("dark", "phone", 390)] {
            prefer(self.browser, scheme).await;
            resize(self.browser, (width, 400)).await;
            let height = "return document.documentElement.scrollHeight";
            let height = self.browser.execute(height, vec![]).await.unwrap().as_u64().unwrap();
            resize(self.browser, (width, u32::try_from(height).unwrap())).await;
            let png = self.browser.screenshot().await.unwrap();
            fs::write(folder.join(format!("{name}-{scheme}-{device}.png")), png).expect("a file");
        }
    }

    /// Holds what is shown against what the providers say.
    async fn counted(&self, requests: usize) -> Ways {
        let issuers = self.browser.execute_async(ISSUERS, vec![]).await.unwrap();
        let way = async |name: &str| {
            let shown = async |what: &str| text(self.browser, &format!("#{name}-{what}")).await;
            let number = async |what: &str| shown(what).await.parse::<usize>().expect("a number");
            let provider = &issuers[name];
            let (posts, granted) = (number("posts").await, number("granted").await);
            assert_eq!(provider["run"]["token_requests"], posts, "{name}");
            let answers = shown("answers").await;
            let counts = answers.split(", ").map(|part| part.split(' ').next().unwrap_or_default());
            let sum: usize = counts.map(|count| count.parse::<usize>().expect("a count")).sum();
            assert_eq!(sum, requests, "{name}: {answers}");
            let (logged_in, login_alive) =
                (shown("logged-in").await, provider["run"]["login_alive"].clone());
            assert_eq!(provider["run"]["refreshes"], granted, "{name}");
            Shown { posts, granted, answers, logged_in, login_alive }
        };
        Ways { ours: way("ours").await, naive: way("naive").await }
    }
}
