//! Provider, upstream and application on loopback.

use std::{borrow::Cow, collections::HashMap, ffi::OsString, future, time::Duration};

use axum::{Router, body::to_bytes, extract::Request, response::IntoResponse};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tower_token_refresh::{
    serve::Server,
    testing::{IssuerServer, ManualClock, StrictIssuer},
};

use crate::{
    app::{self, proxy::Limits, settings::Settings},
    browser::Browser,
};

pub(crate) const HTTPS: &str = "https://shop.example.test";

pub(crate) struct World {
    pub(crate) issuer: IssuerServer,
    pub(crate) clock: ManualClock,
    pub(crate) base: String,
    address: String,
    variables: Variables,
    limits: Limits,
    serving: JoinHandle<()>,
}

/// The application's environment.
type Variables = HashMap<&'static str, String>;

pub(crate) struct Setup {
    upstream: Router,
    upstream_at: Option<String>,
    upstream_path: &'static str,
    https: bool,
    limits: Limits,
    more: Variables,
    prepare: Box<dyn FnOnce(&StrictIssuer)>,
}

impl World {
    /// Over plain http, before an upstream that echoes what it gets.
    pub(crate) async fn new() -> Self {
        Self::setup().start().await
    }

    pub(crate) fn setup() -> Setup {
        Setup {
            upstream: Router::new().fallback(echo),
            upstream_at: None,
            upstream_path: "",
            https: false,
            limits: Limits::default(),
            more: Variables::new(),
            prepare: Box::new(|_| {}),
        }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.base, &self.address)
    }

    /// A browser in which `alice` is logged in.
    pub(crate) async fn logged_in(&self) -> Browser {
        let browser = self.browser();
        browser.log_in().await;
        browser
    }

    /// The process ends, and another one starts with these settings in place of its own.
    pub(crate) async fn restart(&mut self, changed: &[(&'static str, &str)]) {
        self.serving.abort();
        self.variables.extend(changed.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        self.address = url_of(&listener);
        self.serving = serve(listener, &self.variables, &self.clock, self.limits).await;
    }

    /// Where the application really listens, as `host:port`.
    pub(crate) fn authority(&self) -> &str {
        self.address.trim_start_matches("http://")
    }
}

impl Setup {
    pub(crate) fn upstream(mut self, upstream: Router) -> Self {
        self.upstream = upstream;
        self
    }

    /// An upstream that the test itself serves, or does not.
    pub(crate) fn upstream_at(mut self, url: String) -> Self {
        self.upstream_at = Some(url);
        self
    }

    pub(crate) fn upstream_path(mut self, path: &'static str) -> Self {
        self.upstream_path = path;
        self
    }

    /// TLS ends in front: the browser knows another address than the one that is listened on.
    pub(crate) fn https(mut self) -> Self {
        self.https = true;
        self
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) fn setting(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.more.insert(variable, value.into());
        self
    }

    /// What is done to the provider before the application starts.
    pub(crate) fn provider(mut self, prepare: impl FnOnce(&StrictIssuer) + 'static) -> Self {
        self.prepare = Box::new(prepare);
        self
    }

    pub(crate) async fn start(self) -> World {
        let clock = ManualClock::new();
        let issuer = StrictIssuer::builder()
            .clock(clock.clock())
            .build()
            .serve()
            .await
            .expect("a free port");
        (self.prepare)(issuer.issuer());
        let upstream = match self.upstream_at {
            Some(url) => url,
            None => serve_upstream(self.upstream).await,
        };

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = url_of(&listener);
        let base = if self.https { HTTPS.to_owned() } else { address.clone() };
        let mut variables = Variables::from([
            ("ISSUER_URL", issuer.issuer_url()),
            ("CLIENT_ID", "web".to_owned()),
            ("CLIENT_SECRET", "secret".to_owned()),
            ("UPSTREAM_URL", format!("{upstream}{}", self.upstream_path)),
            ("BASE_URL", base.clone()),
            ("LISTEN", "127.0.0.1:0".to_owned()),
        ]);
        variables.extend(self.more);
        let serving = serve(listener, &variables, &clock, self.limits).await;
        World { issuer, clock, base, address, variables, limits: self.limits, serving }
    }
}

async fn serve(
    listener: TcpListener,
    variables: &Variables,
    clock: &ManualClock,
    limits: Limits,
) -> JoinHandle<()> {
    let settings = Settings::read(|name| variables.get(name).map(OsString::from));
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    let (router, _) = app::start_with(&settings, clock.clock(), limits).await.expect("it starts");
    tokio::spawn(app::serve(Server::from_listener(listener), router, limits, future::pending()))
}

fn url_of(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().expect("an address"))
}

pub(crate) fn settings_of(
    variables: &[(&str, &str)],
) -> Result<Settings, app::settings::SettingError> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Settings::read(|name| variables.get(name).map(OsString::from))
}

async fn serve_upstream(upstream: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = url_of(&listener);
    tokio::spawn(async move { axum::serve(listener, upstream).await });
    url
}

/// What the upstream was sent, as JSON; each header once, all values in a list.
async fn echo(request: Request) -> impl IntoResponse {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the body arrives");
    let mut headers: HashMap<&str, Vec<Cow<str>>> = HashMap::new();
    for (name, value) in &head.headers {
        headers.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()));
    }
    axum::Json(json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

/// One header of what [`echo`] gives.
pub(crate) fn header<'a>(echoed: &'a Value, name: &str) -> Vec<&'a str> {
    let values = echoed["headers"][name].as_array();
    values.map(|values| values.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// A test that waits for ever is a test that fails.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}
