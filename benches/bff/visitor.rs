//! A browser that has logged in at the bff.

use std::sync::Arc;

use reqwest::{
    Client,
    cookie::{CookieStore, Jar},
};

use support::bff::Running;

pub struct Visitor {
    pub http: Client,
    pub api: String,
    /// The `Cookie` header of a request to the bff.
    pub cookie: String,
}

impl Visitor {
    /// Follows the redirects to a provider that asks no questions, and back.
    pub async fn log_in(bff: &Running) -> Self {
        let jar = Arc::new(Jar::default());
        let browser = Client::builder().cookie_provider(jar.clone()).build().expect("a client");
        let page = browser
            .get(format!("{}/auth/login?login_hint=alice", bff.url))
            .send()
            .await
            .expect("an answer");
        assert!(
            page.status().is_success(),
            "log in ends with {} at {}",
            page.status(),
            page.url().path()
        );
        let cookies = jar.cookies(&bff.url.parse().expect("a URL")).expect("a session cookie");
        let cookie = cookies.to_str().expect("ASCII").to_owned();
        let visitor = Self { http: Client::new(), api: format!("{}/api/orders", bff.url), cookie };
        visitor.ask().await.expect("a logged-in visitor is served");
        visitor
    }

    /// One call of the API; its status, where it is not 200.
    pub async fn ask(&self) -> Result<(), String> {
        let request = self.http.get(&self.api).header("cookie", &self.cookie);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| error.to_string())?;
        match (status.as_u16(), body.len()) {
            (200, 1024) => Ok(()),
            (status, length) => Err(format!("{status} with {length} bytes")),
        }
    }
}
