//! What the Rust peers have in common: the settings, and the way to the API.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpSocket;

/// A setting that the driver gives.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the driver"))
}

#[derive(Clone)]
pub struct Api {
    url: String,
    client: Client<HttpConnector, Body>,
}

impl Api {
    pub fn from_settings() -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { url: setting("API_URL"), client }
    }

    /// The request with this access token instead of its cookie.
    pub async fn forward(&self, token: &str, mut request: Request) -> Response {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("{}{path}", self.url).parse().expect("a path of a request");
        let headers = request.headers_mut();
        headers.remove(header::COOKIE);
        headers.remove(header::HOST);
        let bearer = format!("Bearer {token}").parse().expect("a token is ASCII");
        headers.insert(header::AUTHORIZATION, bearer);
        match self.client.request(request).await {
            Ok(answer) => answer.into_response(),
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }
}

/// Serves on the port that the driver has chosen, with room for many connections at once.
pub async fn serve(app: Router) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a new socket");
    let port = setting("PORT").parse().expect("a port");
    socket.bind(([127, 0, 0, 1], port).into()).expect("the port is free");
    axum::serve(socket.listen(4096).expect("it listens"), app).await.expect("it serves");
}
