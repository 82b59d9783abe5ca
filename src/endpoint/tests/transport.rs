//! The default transport, over real sockets.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    ClientAuth, TokenEndpoint,
    endpoint::{
        EndpointError, EndpointErrorKind as Kind,
        tests::{SECRET, all_it_tells, tokens},
    },
};

/// Accepts one connection after the other, reads what comes first and writes `answer`; an endless one if told so.
async fn server(answer: String, endless: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer.as_bytes()).await;
            while endless && socket.write_all(b"5\r\n     \r\n").await.is_ok() {}
        }
    });
    port
}

async fn refresh(port: u16) -> Result<crate::TokenSet, EndpointError> {
    let url = format!("http://127.0.0.1:{port}/token?key={SECRET}");
    let provider = TokenEndpoint::new(url, ClientAuth::basic("app", SECRET)).validate().unwrap();
    let outcome = provider.refresh(&SECRET.into()).await;
    if let Err(error) = &outcome {
        assert!(!all_it_tells(error).contains(SECRET), "{error:?}");
    }
    outcome
}

#[tokio::test]
async fn tokens_come_through() {
    let body = tokens().to_string();
    let port =
        server(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()), false).await;
    assert!(refresh(port).await.is_ok());
}

#[tokio::test]
async fn a_refused_connection_was_surely_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = refresh(port).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::Unreachable, false));
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_ambiguous() {
    let error = refresh(server(String::new(), false).await).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
}

#[tokio::test]
async fn a_body_cut_short_is_ambiguous() {
    let error = refresh(server("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{".into(), false).await)
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
}

#[tokio::test]
async fn an_endless_body_is_refused() {
    let port = server("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".into(), true).await;
    assert_eq!(refresh(port).await.unwrap_err().kind(), &Kind::InvalidResponse { rule: "is over 64 KiB" });
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let port =
        server("HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".into(), false).await;
    assert_eq!(refresh(port).await.unwrap_err().kind(), &Kind::InvalidResponse { rule: "is a redirect" });
}

#[tokio::test]
async fn a_service_that_is_not_ready_has_sent_nothing() {
    #[derive(Clone)]
    struct NeverReady;
    impl Service<http::Request<Bytes>> for NeverReady {
        type Response = http::Response<http_body_util::Empty<Bytes>>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Self::Response, BoxError>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Err("full".into()))
        }
        fn call(&mut self, _: http::Request<Bytes>) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let endpoint = TokenEndpoint::new("https://id.example/", ClientAuth::none("app"));
    let provider = endpoint.transport(Transport::new(NeverReady)).validate().unwrap();
    assert_eq!(provider.refresh(&"rt".into()).await.unwrap_err().kind(), &Kind::Unreachable);
}

#[test]
fn a_proxy_variable_that_is_no_url_is_not_quoted() {
    assert!(proxy_at("http://proxy.example:3128").is_ok());
    let error = proxy_at(&format!("http://user:{SECRET}@proxy:port")).unwrap_err();
    assert!(!all_it_tells(&error).contains(SECRET));
}
