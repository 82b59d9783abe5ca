//! What a visitor sees of `bff --demo`: a button, and one refresh for twenty calls.

use fantoccini::Locator;
use serde_json::json;
use support::bff::{self, Running};

use crate::chromium::{self, click, text, until};

const STATS: &str = "const [done] = arguments;
    fetch('/demo/stats', { cache: 'no-store' }).then((answer) => answer.json()).then(done, done);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium: see tests/services/run"]
async fn twenty_calls_at_once_are_twenty_answers_and_one_refresh() {
    let bff = Running::demo(&bff::build(&[])).await;
    let browser = chromium::open().await;
    browser.goto(&bff.url).await.unwrap();
    click(&browser, Locator::LinkText("Log in")).await;
    browser.wait().for_element(Locator::Id("calls")).await.unwrap();

    for refreshes in 1..=2 {
        let before = text(&browser, "#expires").await;
        click(&browser, Locator::Id("calls")).await;
        // The last thing that the page does.
        until("the new token's expiry", async || {
            let answers = text(&browser, "#answers").await;
            assert!(!answers.contains("did not work"), "{answers}");
            text(&browser, "#expires").await != before
        })
        .await;
        assert_eq!(text(&browser, "#answers").await, "20 answers, 1 refresh");
        let stats = browser.execute_async(STATS, vec![]).await.unwrap();
        assert_eq!(stats, json!({ "refreshes": refreshes, "token_requests": refreshes + 1 }));
    }
    browser.close().await.unwrap();
}
