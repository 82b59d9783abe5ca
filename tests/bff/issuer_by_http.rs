//! Plain http to a provider that is not on this machine.

use std::{collections::HashMap, ffi::OsString};

use support::log::Log;
use tower_token_refresh::Clock;

use crate::{
    app::{self, settings::Settings},
    settings::GOOD,
};

/// With the permission it is asked for its document, and nobody is there. Without it the library
/// itself would refuse to ask, which is an error.
#[tokio::test]
async fn it_is_asked_by_plain_http_and_the_log_warns_of_that() {
    let log = Log::of_this_thread();
    let mut variables = HashMap::from(GOOD);
    variables.extend([("ISSUER_URL", "http://id.invalid"), ("ALLOW_HTTP_ISSUER", "1")]);
    let settings = Settings::read(|name| variables.get(name).map(OsString::from)).expect("good");
    assert!(app::start(&settings, Clock::system()).await.is_ok());
    let log = log.text();
    let warns = |of: &str| log.lines().any(|line| line.contains("WARN") && line.contains(of));
    assert!(warns("whoever is on the way can read all tokens"), "{log}");
    assert!(warns("the next login will try again"), "{log}");
}
