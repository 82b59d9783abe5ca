//! A provider that takes connections and says nothing.

use std::time::Duration;

use tokio::net::TcpListener;
use tower_token_refresh::Clock;

use crate::{app, settings::GOOD, world::settings_of};

/// Nothing listens before the application has started, and an orchestrator restarts what does not
/// serve in time.
#[tokio::test(start_paused = true)]
async fn the_start_waits_for_it_for_ten_seconds_whatever_a_request_may_take() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let slow = [("ISSUER_URL", &*url), ("REFRESH_REQUEST_TIMEOUT", "60s")];
    let settings = settings_of(&[&GOOD[..], &slow].concat()).expect("good");
    let began = support::tokio_now();
    let started = app::start(&settings, Clock::system()).await;
    assert!(started.is_ok(), "it starts without its provider");
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
}
