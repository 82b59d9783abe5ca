//! A page's WebSocket goes on while tokens come and go, and ends with the login.

use std::time::Duration;

use serde_json::{Value, json};
use support::providers::Provider;
use tokio::{sync::mpsc, time::timeout};

use super::{at_both_providers, stage::Stage};
use crate::{chromium::until, echo};

/// Gives what the API has said at the handshake, or that there was none.
const OPEN: &str = "const [done] = arguments;
    const heard = [];
    window.live = new WebSocket(`ws://${location.host}/api/live`);
    live.onmessage = ({ data }) => { if (heard.push(data) === 2) done(heard); };
    live.onclose = ({ code }) => done(code);";

/// Gives what has come back.
const SAY: &str = "const [text, done] = arguments;
    live.onmessage = ({ data }) => done(data);
    live.onclose = ({ code }) => done(code);
    if (live.readyState === WebSocket.OPEN) live.send(text); else done(live.readyState);";

/// Gives how the socket has ended.
const LOG_OUT: &str = "const [done] = arguments;
    live.onclose = ({ code, wasClean }) => done([code, wasClean]);
    fetch('/auth/logout', { method: 'POST', redirect: 'manual' })
        .catch((error) => done(String(error)));";

const BROKEN_OFF: u16 = 1006;

at_both_providers! {
    a_socket_stays_open_over_two_expiries_and_ends_with_the_login;
}

async fn a_socket_stays_open_over_two_expiries_and_ends_with_the_login(provider: Provider) {
    let (tell, mut ends) = mpsc::unbounded_channel();
    let stage = Stage::at(provider, echo::router(tell)).await;
    stage.log_in().await;
    stage.open("/api/page").await;
    let heard = run(&stage, OPEN, vec![]).await;
    let authorization = heard[0].as_str().unwrap_or_else(|| panic!("no socket: {heard}"));
    let mut token = authorization.strip_prefix("Bearer ").expect("a bearer token").to_owned();
    assert!(stage.provider.is_live(&token).await);
    // Other servers of this host may have cookies as well: a port is nothing to a cookie.
    let mut cookies = heard[1].as_str().expect("text").split("; ");
    assert!(!cookies.any(|cookie| cookie.starts_with("session=")), "{heard}");

    let mut messages = 0;
    for _expiry in 1..=2 {
        until("the end of the token", async || {
            let is_dead = !stage.provider.is_live(&token).await;
            assert_echo(&stage, &mut messages).await;
            is_dead
        })
        .await;
        let newest = stage.thirty_calls().await;
        assert_ne!(newest, token);
        token = newest;
        assert_echo(&stage, &mut messages).await;
    }
    assert!(ends.try_recv().is_err(), "the API has seen one socket and no end");

    assert_eq!(run(&stage, LOG_OUT, vec![]).await, json!([BROKEN_OFF, false]));
    let told = timeout(Duration::from_secs(20), ends.recv()).await;
    told.expect("the API learns of it").expect("of this one");
    assert_eq!(stage.status_of_me().await, 401);
    assert_eq!(run(&stage, OPEN, vec![]).await, BROKEN_OFF, "nobody gets another one");
    stage.close().await;
}

async fn assert_echo(stage: &Stage, messages: &mut usize) {
    *messages += 1;
    let text = format!("message {messages}");
    assert_eq!(run(stage, SAY, vec![json!(text)]).await, json!(text));
}

async fn run(stage: &Stage, script: &str, arguments: Vec<Value>) -> Value {
    stage.browser.execute_async(script, arguments).await.unwrap()
}
