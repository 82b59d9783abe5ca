//! The front over wiremock. Its responders are synchronous, so gates do not work here.

use bytes::Bytes;
use http::Request;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{StrictIssuer, in_memory::connection_broke, issuer::lock, script::Step};

/// An issuer on a wiremock server of its own. The server stops when this is dropped.
#[derive(Debug)]
pub struct WiremockIssuer {
    server: MockServer,
    issuer: StrictIssuer,
}

impl WiremockIssuer {
    /// The issuer behind the server.
    #[must_use]
    pub fn issuer(&self) -> &StrictIssuer {
        &self.issuer
    }

    /// The wiremock server, for its recorded requests and more mocks.
    #[must_use]
    pub fn server(&self) -> &MockServer {
        &self.server
    }

    /// The issuer URL as served.
    #[must_use]
    pub fn issuer_url(&self) -> String {
        self.issuer.issuer_url()
    }

    /// The token endpoint as served.
    #[must_use]
    pub fn token_url(&self) -> String {
        self.issuer.token_url()
    }
}

impl StrictIssuer {
    /// Starts a wiremock server with this issuer on it.
    pub async fn start_wiremock(&self) -> WiremockIssuer {
        let server = MockServer::start().await;
        self.mount(&server).await;
        WiremockIssuer { server, issuer: self.clone() }
    }

    /// Answers for this issuer on `server`, below the issuer's path. The server may have other
    /// mocks. From now on, documents and tokens name that server.
    pub async fn mount(&self, server: &MockServer) {
        self.bind_to(&server.uri());
        let issuer = self.clone();
        let loses = move |request: &wiremock::Request| issuer.will_lose(request);
        let issuer = self.clone();
        let process_and_break = move |request: &wiremock::Request| {
            let _ = issuer.handle(to_http(request));
            connection_broke()
        };
        Mock::given(loses).respond_with_err(process_and_break).with_priority(1).mount(server).await;

        let issuer = self.clone();
        let ours =
            move |request: &wiremock::Request| issuer.endpoint_of(request.url.path()).is_some();
        let issuer = self.clone();
        let respond = move |request: &wiremock::Request| issuer.respond(request);
        Mock::given(ours).respond_with(respond).with_priority(2).mount(server).await;
    }

    /// wiremock needs another kind of mock to break a connection, so this is decided before the
    /// work.
    fn will_lose(&self, request: &wiremock::Request) -> bool {
        let Some(endpoint) = self.endpoint_of(request.url.path()) else { return false };
        let script = lock(&self.inner.script);
        !script.down && matches!(script.next(endpoint), Some(Step::LoseAnswer | Step::LoseRequest))
    }

    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let (parts, body) = self.handle(to_http(request)).into_parts();
        let delay = lock(&self.inner.script).delay;
        let template = ResponseTemplate::new(parts.status).set_body_bytes(body).set_delay(delay);
        parts
            .headers
            .iter()
            .fold(template, |template, (name, value)| template.append_header(name, value))
    }
}

fn to_http(request: &wiremock::Request) -> Request<Bytes> {
    let mut converted = Request::new(Bytes::copy_from_slice(&request.body));
    *converted.method_mut() = request.method.clone();
    *converted.headers_mut() = request.headers.clone();
    // wiremock built this URL from a request's own URI.
    *converted.uri_mut() = request.url.as_str().parse().unwrap_or_default();
    converted
}
