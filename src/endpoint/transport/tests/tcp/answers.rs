//! Answers that break off, are not HTTP, or are refusals.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;

#[tokio::test]
async fn closed_in_the_answer_after_so_many_bytes() {
    let whole = whole_answer();
    let body = whole.find("{").unwrap();
    let closed_after = |bytes| {
        server(move |mut connection, _| async move {
            connection.request().await;
            // Another one than the refresh token of the request, and as long.
            let old = format!(r#""refresh_token":"{SECRET}"#);
            let new = format!(r#""refresh_token":"{}"#, SECRET.to_uppercase());
            connection.write(&whole_answer().replace(&old, &new)[..bytes]).await;
        })
    };
    for bytes in [1, 9, 15, 17, 30, body - 1, body, body + 1] {
        let (port, seen) = closed_after(bytes).await;
        assert_once(&seen, failed(endpoint_at(port)).await, Kind::NoAnswer, true);
    }
    // The new refresh token has come.
    let (port, _seen) = closed_after(whole.len() - 1).await;
    let provider = endpoint_at(port).validate().unwrap();
    assert!(provider.refresh_always(&refresh_token()).await.is_ok());
}

#[tokio::test]
async fn no_http_at_all() {
    for garbage in
        ["\u{16}\u{3}\u{1}garbage\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/9.9 200 OK\r\n\r\n"]
    {
        let (port, seen) = server(move |mut connection, _| async move {
            connection.request().await;
            connection.write(garbage).await;
        })
        .await;
        assert_once(&seen, failed(endpoint_at(port)).await, Kind::NoAnswer, true);
    }
}

#[tokio::test]
async fn an_endless_body() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.request().await;
        connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
        while connection.write(&chunk).await {}
    })
    .await;
    let kind = Kind::InvalidResponse { rule: "is too long" };
    assert_once(&seen, failed(endpoint_at(port)).await, kind, true);
}

#[tokio::test]
async fn endless_headers() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.request().await;
        connection.write("HTTP/1.1 200 OK\r\n").await;
        while connection.write("x: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n").await {}
    })
    .await;
    assert_once(&seen, failed(endpoint_at(port)).await, Kind::NoAnswer, true);
}

/// Some gateways compress everything.
#[tokio::test]
async fn a_compressed_body_is_not_asked_for_but_unpacked() {
    let (port, seen) = server(|mut connection, _| async move {
        connection.request().await;
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(tokens().to_string().as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let head = format!("content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
        connection
            .write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}"))
            .await;
        connection.write(packed).await;
    })
    .await;
    endpoint_at(port).validate().unwrap().refresh_always(&refresh_token()).await.unwrap();
    assert!(!seen.requests.lock().unwrap()[0].contains("accept-encoding"));
}

#[tokio::test]
async fn a_redirect_to_another_host() {
    let (elsewhere, its_seen) = server(|mut connection, _| async move {
        connection.request().await;
        connection.write(whole_answer()).await;
    })
    .await;
    for status in [301, 302, 303, 307, 308] {
        let (port, seen) = server(move |mut connection, _| async move {
            connection.request().await;
            let to = format!("location: http://localhost:{elsewhere}/token\r\ncontent-length: 0");
            connection.write(format!("HTTP/1.1 {status} Moved\r\n{to}\r\n\r\n")).await;
        })
        .await;
        let kind = Kind::InvalidResponse { rule: "is a redirect" };
        assert_once(&seen, failed(endpoint_at(port)).await, kind, false);
    }
    assert_eq!(its_seen.connections(), 0, "the form went nowhere else");
}

#[tokio::test]
async fn chunked_nonsense() {
    for chunks in
        ["ZZ\r\n{}\r\n0\r\n\r\n", "5\r\n{}", "fffffffffffffffff\r\n{}", "-2\r\n{}\r\n0\r\n\r\n", ""]
    {
        let (port, seen) = server(move |mut connection, _| async move {
            connection.request().await;
            connection
                .write(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"))
                .await;
        })
        .await;
        assert_once(&seen, failed(endpoint_at(port)).await, Kind::NoAnswer, true);
    }
}

#[tokio::test]
async fn what_is_no_token_response() {
    for body in ["<html>Welcome to the hotel's network</html>", "{\"access_token\":", "null", ""] {
        let (port, seen) = server(move |mut connection, _| async move {
            connection.request().await;
            connection
                .write(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
                .await;
        })
        .await;
        assert_once(&seen, failed(endpoint_at(port)).await, NOT_TOKENS, true);
    }
}

#[tokio::test]
async fn the_pages_of_a_proxy_in_front() {
    const PAGES: [(&[&str], Kind, bool); 5] = [
        (
            &["HTTP/1.1 502 Bad Gateway\r\nserver: nginx\r\ncontent-length: 6\r\n\r\n<html>"],
            UNAVAILABLE,
            true,
        ),
        (
            &["HTTP/1.1 504 Gateway Time-out\r\nserver: nginx\r\ncontent-length: 6\r\n\r\n<html>"],
            UNAVAILABLE,
            true,
        ),
        (
            &["HTTP/1.1 500 X\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"],
            Kind::Unavailable { retry_after: Some(Duration::ZERO) },
            true,
        ),
        (
            &["HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\n<html>"],
            Kind::InvalidResponse { rule: "is neither a success nor an OAuth error" },
            false,
        ),
        (
            &[
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 25\r\n\r\n{\"error\":\"invalid_grant\"}",
            ],
            Kind::InvalidGrant,
            false,
        ),
    ];
    for (answers, kind, consumed) in PAGES {
        let (port, seen) = answering(answers).await;
        assert_once(&seen, failed(endpoint_at(port)).await, kind, consumed);
    }
}

#[tokio::test]
async fn overload_is_no_use_of_the_token_and_asked_again() {
    const TOKENS: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
        {\"access_token\":\"at\",\"token_type\":\"Bearer\",\"expires_in\":60}";
    const BUSY: [&[&str]; 3] = [
        &["HTTP/1.1 503 X\r\nretry-after: 0\r\ncontent-length: 6\r\n\r\n<html>", TOKENS],
        &["HTTP/1.1 429 X\r\nretry-after: 0\r\ncontent-length: 6\r\n\r\n<html>", TOKENS],
        &[
            "HTTP/1.1 500 X\r\nretry-after: 0\r\ncontent-length: 35\r\n\r\n{\"error\":\"temporarily_unavailable\"}",
            TOKENS,
        ],
    ];
    let wait = Some(Duration::ZERO);
    let kinds = [
        Kind::Unavailable { retry_after: wait },
        Kind::TryLater { retry_after: wait },
        Kind::Unavailable { retry_after: wait },
    ];
    for (answers, kind) in BUSY.into_iter().zip(kinds) {
        let (port, seen) = answering(answers).await;
        endpoint_at(port).validate().unwrap().refresh_always(&refresh_token()).await.unwrap();
        assert_eq!(seen.requests(), 2);
        let (port, seen) = answering(&answers[..1]).await;
        let (outcome, took) = failed(endpoint_at(port)).await;
        assert_eq!(outcome, (kind, false));
        assert_eq!(seen.requests(), 2);
        assert!(took < PATIENT, "{took:?}");
    }
}
