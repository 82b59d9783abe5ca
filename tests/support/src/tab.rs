//! A browser that talks to an application by HTTP: it keeps cookies by the rules of RFC 6265bis
//! that matter here, and follows redirects where a test wants it. The login is at `/auth`, the API
//! at `/api`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use tower_token_refresh::tower_sessions::cookie::Cookie;

pub struct Browser {
    client: Client,
    /// The application's address as this browser knows it, and where it really is.
    base: String,
    address: String,
    jar: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub fn new(base: &str, address: &str) -> Self {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self { client, base: base.to_owned(), address: address.to_owned(), jar: Mutex::default() }
    }

    /// A request to the application, as a page of its own makes it: with its cookies, and with its
    /// origin where a browser says it (Fetch standard, "append a request `Origin` header").
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let says_origin = !matches!(method, Method::GET | Method::HEAD);
        let request = self.request_of_anybody(method, path);
        if says_origin { request.header("origin", &self.base) } else { request }
    }

    /// The same, but nothing says whose page makes it.
    pub fn request_of_anybody(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.address));
        match self.cookie_header() {
            Some(cookies) => request.header(COOKIE, cookies),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(self.request(Method::GET, path)).await
    }

    /// As a form of our own page posts.
    pub async fn post(&self, path: &str) -> Response {
        self.send(self.request(Method::POST, path)).await
    }

    /// Sends a request and takes the cookies of its answer.
    pub async fn send(&self, request: RequestBuilder) -> Response {
        let response = request.send().await.expect("the application answers");
        for line in response.headers().get_all(SET_COOKIE) {
            self.take(line.to_str().expect("ASCII"));
        }
        response
    }

    /// Follows a redirect to the provider, and gives the path of the application that this leads
    /// back to.
    pub async fn visit_provider(&self, from: &Response) -> String {
        let response = self.client.get(location(from)).send().await.expect("the provider answers");
        assert_eq!(response.status(), StatusCode::FOUND, "the provider sends the browser back");
        self.path_of(&location(&response))
    }

    /// `GET /auth/login`, the provider, and the path of the callback.
    pub async fn until_callback(&self, return_to: &str) -> String {
        let response = self.get(&format!("/auth/login?return_to={return_to}")).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "the login begins");
        self.visit_provider(&response).await
    }

    pub async fn log_in(&self) {
        let callback = self.until_callback("/").await;
        let response = self.get(&callback).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "logged in");
    }

    /// The status of a call to the API: 200 for whoever is logged in.
    pub async fn api_status(&self) -> u16 {
        self.get("/api/orders").await.status().as_u16()
    }

    /// The token that the API is called with, by the word of an upstream that echoes.
    pub async fn access_token(&self) -> String {
        let answer = self.get("/api/orders").await.json().await;
        let echoed: serde_json::Value = answer.expect("the API echoes its request");
        let header = echoed["headers"]["authorization"][0].as_str().expect("a token");
        header.trim_start_matches("Bearer ").to_owned()
    }

    pub fn path_of(&self, url: &str) -> String {
        url.strip_prefix(&self.base)
            .unwrap_or_else(|| panic!("{url} is not of {}", self.base))
            .to_owned()
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar().get(name).cloned()
    }

    pub fn cookie_names(&self) -> Vec<String> {
        self.jar().keys().cloned().collect()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.jar().insert(name.to_owned(), value.to_owned());
    }

    fn cookie_header(&self) -> Option<String> {
        let jar = self.jar();
        let pairs: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// RFC 6265bis, 5.6: a line about a `__Host-` name counts only with `Secure`, the path `/` and
    /// no domain; one that has expired removes.
    fn take(&self, line: &str) {
        let cookie = Cookie::parse(line).expect("a cookie");
        let host_rules = cookie.secure() == Some(true)
            && cookie.path() == Some("/")
            && cookie.domain().is_none();
        if cookie.name().starts_with("__Host-") && !host_rules {
            return;
        }
        if cookie.max_age().is_some_and(|age| !age.is_positive()) {
            self.jar().remove(cookie.name());
        } else {
            self.jar().insert(cookie.name().to_owned(), cookie.value().to_owned());
        }
    }

    fn jar(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn location(response: &Response) -> String {
    response.headers()[LOCATION].to_str().expect("ASCII").to_owned()
}

pub fn set_cookies(response: &Response) -> Vec<String> {
    let lines = response.headers().get_all(SET_COOKIE).iter();
    lines.map(|line| line.to_str().expect("ASCII").to_owned()).collect()
}

/// What a JWT says.
pub fn claims_of(jwt: &str) -> serde_json::Value {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let payload = jwt.split('.').nth(1).expect("a JWT");
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

/// The state of a callback's path.
pub fn state_of(callback: &str) -> &str {
    let state = callback.split(['?', '&']).find_map(|pair| pair.strip_prefix("state="));
    state.expect("a state")
}
