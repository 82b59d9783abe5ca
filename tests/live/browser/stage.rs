//! A user in Chromium before the bff, between a real provider and an API that brings a page.

use axum::{Router, response::Html, routing::get};
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use support::{
    bff::{self, Running},
    providers::{CLIENT_SECRET, Provider, User},
    way::Way,
};
use url::Url;

use crate::{
    api, back_channel,
    chromium::{self, click, text, until},
};

/// A client whose access tokens live for eight seconds.
const CLIENT_ID: &str = "web-short";
const CALLS: usize = 30;

/// What an application brings to the browser: a page that asks for many things at once.
const PAGE: &str = "<!doctype html><title>Orders</title><script>
const call = async () => {
    const answer = await fetch('/api/orders');
    return [answer.status, await answer.text()];
};
const calls = (count) => Promise.all(Array.from({ length: count }, call));
</script>";

/// Yes, log out: a button of the provider's.
const CONFIRM: &str = "[name=logout][value=yes], #kc-logout";
pub const LOG_IN: &str = "a[href='/auth/login']";
pub const LOG_OUT: &str = "#logout";

pub struct Stage {
    pub provider: Provider,
    pub user: User,
    pub bff: Running,
    pub browser: Client,
}

impl Stage {
    /// With tokens of eight seconds.
    pub async fn at(provider: Provider, more: Router) -> Self {
        let issuer_url = provider.issuer_url.clone();
        Self::reaching(provider, &issuer_url, more, &[]).await
    }

    /// The same, where bff and browser reach the provider by a way that can be cut.
    pub async fn by_way_of(provider: Provider, way: &Way) -> Self {
        let own_name = provider.issuer_url.clone();
        let mut issuer_url: Url = own_name.parse().expect("a URL");
        issuer_url.set_port(Some(way.address.port())).expect("an http URL has a port");
        let provider = provider.by_way_of(way.address.port()).await;
        let issuer_url = issuer_url.as_str().trim_end_matches('/');
        // oidc-provider keeps its name.
        let settings = [("ACCEPT_ISSUERS", &*own_name)];
        Self::reaching(provider, issuer_url, Router::new(), &settings).await
    }

    /// With tokens of a minute and more, and a bff that the provider tells of log outs.
    pub async fn told_of_log_outs(provider: &Provider) -> Self {
        let (provider, bff) =
            back_channel::bff_of_a_client(provider, with_page(Router::new())).await;
        Self::opened(provider, bff).await
    }

    async fn reaching(
        provider: Provider,
        issuer_url: &str,
        more: Router,
        settings: &[(&str, &str)],
    ) -> Self {
        let provider = provider.with_client(CLIENT_ID, Some(CLIENT_SECRET));
        let (program, api) = (bff::build(&[]), api::serve(with_page(more)).await);
        let bff = Running::start(&program, issuer_url, CLIENT_ID, &api, settings).await;
        Self::opened(provider, bff).await
    }

    async fn opened(provider: Provider, bff: Running) -> Self {
        let user = provider.new_user().await;
        Self { provider, user, bff, browser: chromium::open().await }
    }

    pub async fn close(self) {
        self.browser.close().await.unwrap();
    }

    pub fn url(&self, path: &str) -> Url {
        format!("{}{path}", self.bff.url).parse().expect("a URL")
    }

    pub async fn open(&self, path: &str) {
        self.browser.goto(self.url(path).as_str()).await.unwrap();
    }

    /// From the home page and back to it.
    pub async fn log_in(&self) {
        self.open("/").await;
        click(&self.browser, Locator::Css(LOG_IN)).await;
        self.enter().await;
        self.until_there(LOG_OUT).await;
    }

    /// Says at the provider who it is.
    pub async fn enter(&self) {
        for field in ["[name=username]", "[name=password]"] {
            self.until_there(field).await;
            let field = self.browser.find(Locator::Css(field)).await.unwrap();
            field.send_keys(&self.user.name).await.unwrap();
        }
        click(&self.browser, Locator::Css("[type=submit]")).await;
    }

    /// From the home page to the provider, which may ask whether it is meant, and back.
    pub async fn log_out(&self) {
        self.open("/").await;
        click(&self.browser, Locator::Css(LOG_OUT)).await;
        self.until_there(&format!("{CONFIRM}, {LOG_IN}")).await;
        if self.there_is(CONFIRM).await {
            click(&self.browser, Locator::Css(CONFIRM)).await;
        }
        self.browser.wait().for_url(&self.url("/?logged_out")).await.expect("back home");
    }

    /// The user goes to the provider and logs out there.
    pub async fn log_out_there(&self) {
        let there = self.provider.url("end_session_endpoint");
        self.browser.goto(there.as_str()).await.unwrap();
        self.until_there(CONFIRM).await;
        click(&self.browser, Locator::Css(CONFIRM)).await;
        // The button is gone once the provider has done it.
        until("the provider's answer", async || !self.there_is(CONFIRM).await).await;
    }

    pub async fn until_there(&self, css: &str) {
        let waited = self.browser.wait().for_element(Locator::Css(css)).await;
        waited.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    pub async fn there_is(&self, css: &str) -> bool {
        !self.browser.find_all(Locator::Css(css)).await.unwrap().is_empty()
    }

    pub async fn text(&self, css: &str) -> String {
        text(&self.browser, css).await
    }

    /// Whether somebody is logged in, as the page's script hears it.
    pub async fn status_of_me(&self) -> Value {
        let script = "const [done] = arguments;
            fetch('/auth/me', { cache: 'no-store' }).then((answer) => done(answer.status), done);";
        self.browser.execute_async(script, vec![]).await.unwrap()
    }

    /// Thirty calls at once, of a page that is open; gives the one token that all of them had.
    pub async fn thirty_calls(&self) -> String {
        let script = "const [count, done] = arguments;
            calls(count).then(done, (error) => done(String(error)));";
        let answers = self.browser.execute_async(script, vec![json!(CALLS)]).await.unwrap();
        let answers = answers.as_array().unwrap_or_else(|| panic!("the page failed: {answers}"));
        assert_eq!(answers.len(), CALLS);
        let token = answers[0][1].as_str().expect("the API answers with the token").to_owned();
        for answer in answers {
            assert_eq!(answer, &json!([200, token]));
        }
        token
    }

    /// Waits as long as the provider takes the token: it is its clock that counts here.
    pub async fn until_dead(&self, token: &str) {
        until("the end of the token", async || !self.provider.is_live(token).await).await;
    }
}

fn with_page(more: Router) -> Router {
    more.route("/page", get(async || Html(PAGE)))
}
