//! Until nothing is under way any more.

use std::time::Duration;

use crate::browser::Browser;

/// Lets everything go on until nothing is under way.
pub async fn rest(browser: &Browser) {
    for _ in 0..3_000 {
        run_all_that_can_run().await;
        if browser.stage.parked() > 0 {
            browser.stage.release(0);
        } else if browser.is_busy() {
            // A flight pauses before it asks again, or waits for another one, for a second at most.
            browser.advance(Duration::from_millis(500)).await;
        } else {
            return browser.assert_promises();
        }
    }
    panic!("no rest: {:?}", browser.stage);
}

/// The stores and the provider work again, all requests come to their ends, and what was refused is
/// tried again.
pub async fn come_to_rest(browser: &mut Browser) {
    browser.stage.accept_everything();
    rest(browser).await;
    browser.finish_everything();
    rest(browser).await;
    for _ in 0..3 {
        browser.advance(Duration::from_secs(3)).await;
        rest(browser).await;
    }
}

/// One thread, and each turn runs whatever is ready: every task gets as far as it can.
pub async fn run_all_that_can_run() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}
