//! Somebody who has logged in at a process of the bff, and whom all of them serve.

use support::providers::{Browser, User};
use url::Url;

#[derive(Clone)]
pub struct Visitor {
    /// The `Cookie` header of a request.
    pub cookie: String,
}

impl Visitor {
    /// Goes to the provider, says there who it is, and comes back.
    pub async fn log_in(url: &str, user: &User) -> Self {
        let browser = Browser::new();
        let answer = browser.get(&format!("{url}/auth/login")).await;
        let location = answer.headers()["location"].to_str().expect("ASCII");
        let mut provider: Url = location.parse().expect("a URL");
        provider.query_pairs_mut().append_pair("login_hint", &user.name);
        let callback = browser.follow_until(provider, &format!("{url}/auth/callback"), user).await;
        let answer = browser.get(callback.as_str()).await;
        let cookies = answer.headers().get_all("set-cookie").iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        let session = cookies.into_iter().find(|cookie| cookie.starts_with("session="));
        let cookie = session.unwrap_or_else(|| panic!("not logged in: {}", answer.status()));
        Self { cookie: cookie.to_owned() }
    }

    /// Logs out at this process; gives the status.
    pub async fn log_out(&self, url: &str) -> u16 {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let request = http.build().expect("a client").post(format!("{url}/auth/logout"));
        let request = request.header("cookie", &self.cookie).header("origin", url);
        request.send().await.expect("an answer").status().as_u16()
    }
}
