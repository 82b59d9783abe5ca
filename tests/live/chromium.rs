//! Chromium, driven by WebDriver, and by its own protocol for what WebDriver does not know: the
//! colours that a user prefers, and the size of a phone.

use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator, error::CmdError, wd::WebDriverCompatibleCommand};
use http::Method;
use serde_json::{Value, json};
use support::providers::service;
use tokio::time::{sleep, timeout};
use url::Url;

/// So that a page that never comes fails a test instead of stopping it.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn open() -> Client {
    let arguments = [
        "--headless=new",
        // A browser that runs as root has no sandbox of its own.
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // A page that wants a font of somebody else's does not wait for it.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ];
    let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
    ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
        .capabilities(capabilities.as_object().expect("an object").clone())
        .connect(&service("TEST_WEBDRIVER_URL"))
        .await
        .expect("the browser opens")
}

pub async fn click(browser: &Client, what: Locator<'_>) {
    browser.find(what).await.unwrap().click().await.unwrap();
}

/// The text of the first of these elements, once there is one. In one step, as a page may replace
/// it meanwhile.
pub async fn text(browser: &Client, css: &str) -> String {
    let waited = browser.wait().for_element(Locator::Css(css)).await;
    waited.unwrap_or_else(|error| panic!("{css}: {error}"));
    let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
    let text = browser.execute(script, vec![json!(css)]).await.unwrap();
    text.as_str().expect("text").to_owned()
}

/// Asks again and again, of a page that changes or of one that is opened anew each time.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !is_so().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

/// `light` or `dark`, from now on.
pub async fn prefer(browser: &Client, scheme: &str) {
    feature(browser, "prefers-color-scheme", scheme).await;
}

/// As few movements as possible, until [`prefer`] is called.
pub async fn prefer_stillness(browser: &Client) {
    feature(browser, "prefers-reduced-motion", "reduce").await;
}

async fn feature(browser: &Client, name: &str, value: &str) {
    let features = json!([{ "name": name, "value": value }]);
    command(browser, "Emulation.setEmulatedMedia", json!({ "features": features })).await;
}

pub async fn resize(browser: &Client, (width, height): (u32, u32)) {
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
    command(browser, "Emulation.setDeviceMetricsOverride", size).await;
}

/// A command of the Chrome DevTools Protocol.
async fn command(browser: &Client, name: &'static str, parameters: Value) {
    let sent: Result<Value, CmdError> = browser.issue_cmd(DevTools { name, parameters }).await;
    sent.unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[derive(Debug)]
struct DevTools {
    name: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({ "cmd": self.name, "params": self.parameters });
        (Method::POST, Some(body.to_string()))
    }
}
