//! Until nothing is under way any more.

use std::time::Duration;

use crate::browser::Browser;

/// Lets everything go on until nothing is under way, but for what stands still.
pub fn rest(browser: &Browser) {
    for _ in 0..3_000 {
        browser.run_all_that_can_run();
        if browser.stage.parked() > 0 {
            browser.stage.release(0);
        } else if browser.is_busy() {
            // A flight pauses before it asks again, or waits for another one, for a second at most.
            browser.advance(Duration::from_millis(500));
        } else {
            return browser.assert_promises();
        }
    }
    panic!("no rest: {:?}", browser.stage);
}

/// The stores, the lock and the provider work again, all requests come to their ends, and what was
/// refused is tried again.
pub fn come_to_rest(browser: &mut Browser) {
    browser.stage.accept_everything();
    browser.thaw(true);
    rest(browser);
    browser.finish_everything();
    rest(browser);
    for _ in 0..3 {
        browser.advance(Duration::from_secs(3));
        rest(browser);
    }
}
