//! A browser: cookies, redirects, and the one form it knows how to fill in.

use std::sync::{Arc, Mutex};

use reqwest::{Client, Response, redirect::Policy};
use serde_json::Value;
use tower_token_refresh::{DpopKey, testing::StrictIssuer};
use url::Url;
use uuid::Uuid;

use super::{Provider, REDIRECT_URI, User};

fn exchange(code: &str) -> [(&'static str, &str); 3] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT_URI)]
}

/// Keeps its cookies, so that a second login finds the provider's session of the first.
#[derive(Clone)]
pub struct Browser {
    http: Client,
    /// What stands for the cookie of a strict issuer, which has none: a token of the last login.
    logged_in: Arc<Mutex<Option<String>>>,
}

impl Browser {
    pub fn new() -> Self {
        let http = Client::builder()
            .cookie_store(true)
            .redirect(Policy::none())
            .build()
            .expect("a client");
        Self { http, logged_in: Arc::default() }
    }

    /// Goes through the code flow; gives the token response.
    pub async fn log_in(&self, provider: &Provider, user: &User) -> Value {
        if let Some(issuer) = provider.strict_issuer() {
            return self.log_in_at_strict(issuer, user);
        }
        let code = self.code(provider, user).await;
        let answer = provider.grant(&exchange(&code)).await;
        assert_eq!(answer.status.as_u16(), 200, "the code exchange: {:?}", answer.text("error"));
        answer.body
    }

    /// The same, with a proof of `key` beside the code, and with the nonce that the provider wants.
    pub async fn log_in_bound_to(&self, provider: &Provider, user: &User, key: &DpopKey) -> Value {
        let code = self.code(provider, user).await;
        let answer = provider.grant_bound_to(key, &exchange(&code)).await;
        assert_eq!(answer.status.as_u16(), 200, "the code exchange: {:?}", answer.body);
        answer.body
    }

    /// The code that comes back with the user.
    async fn code(&self, provider: &Provider, user: &User) -> String {
        let state = Uuid::new_v4().simple().to_string();
        let mut url = provider.url("authorization_endpoint");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", provider.client_id())
            .append_pair("redirect_uri", REDIRECT_URI)
            .append_pair("scope", "openid profile")
            .append_pair("state", &state)
            .append_pair("login_hint", &user.name);
        let callback = self.follow_until(url, REDIRECT_URI, user).await;
        let parameter = |name: &str| {
            let found = callback.query_pairs().find(|(key, _)| key == name);
            found.map_or_else(
                || panic!("no {name} in the callback"),
                |(_, value)| value.into_owned(),
            )
        };
        assert_eq!(parameter("state"), state);
        parameter("code")
    }

    fn log_in_at_strict(&self, issuer: &StrictIssuer, user: &User) -> Value {
        let mut logged_in = self.logged_in.lock().expect("not poisoned");
        let tokens = match logged_in.as_deref() {
            Some(token) => issuer.log_in_again(token),
            None => issuer.log_in(&user.name),
        };
        *logged_in = tokens["refresh_token"].as_str().map(str::to_owned);
        tokens
    }

    /// Logs out at the provider, which asks whether that is meant.
    pub async fn log_out_at(&self, provider: &Provider, id_token: &str) {
        let mut url = provider.url("end_session_endpoint");
        url.query_pairs_mut().append_pair("id_token_hint", id_token);
        let page = self.get(url.as_str()).await.text().await.expect("text");
        let after = |mark: &str| {
            page.split(mark).nth(1).and_then(|rest| rest.split('"').next()).expect("a form")
        };
        let form = [("xsrf", after("name=\"xsrf\" value=\"")), ("logout", "yes")];
        let answer =
            self.http.post(form_action(&page)).form(&form).send().await.expect("an answer");
        assert!(
            answer.status().is_redirection() || answer.status().is_success(),
            "{}",
            answer.status()
        );
    }

    pub async fn get(&self, url: &str) -> Response {
        self.http.get(url).send().await.expect("an answer")
    }

    /// Follows redirects and logs in where it is asked to, until it is sent to `target`.
    pub async fn follow_until(&self, start: Url, target: &str, user: &User) -> Url {
        let mut answer = self.http.get(start).send().await.expect("an answer");
        for _ in 0..10 {
            if let Some(next) = location(&answer) {
                if next.as_str().starts_with(target) {
                    return next;
                }
                answer = self.http.get(next).send().await.expect("an answer");
            } else {
                assert_eq!(answer.status().as_u16(), 200, "a page");
                let page = answer.text().await.expect("text");
                let form = [("username", user.name.as_str()), ("password", user.name.as_str())];
                answer =
                    self.http.post(form_action(&page)).form(&form).send().await.expect("an answer");
            }
        }
        panic!("no end of redirects");
    }
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

fn location(answer: &Response) -> Option<Url> {
    let location = answer.headers().get("location")?.to_str().expect("ASCII");
    Some(answer.url().join(location).expect("a URL"))
}

fn form_action(page: &str) -> Url {
    let action =
        page.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    action.replace("&amp;", "&").parse().expect("a URL")
}
