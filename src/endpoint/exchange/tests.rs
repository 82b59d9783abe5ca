//! The limits of time and size, over an in-memory transport.

use std::sync::{Arc, Mutex};

use http::Response;
use http_body_util::Full;

use super::*;
use crate::endpoint::test_support::{
    Script, answer, endpoint, refresh_error, refresh_token, tokens, tokio_now,
};

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_is_given_up_in_time() {
    let silent = Transport::new(tower::service_fn(|_| {
        std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>()
    }));
    let started = tokio_now();
    let error = refresh_error(silent).await;
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
    assert_eq!(tokio_now() - started, Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_for_the_body_too() {
    let dripping = Transport::new(tower::service_fn(|_| async {
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Some((Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(b" "))), ()))
        });
        Ok::<_, BoxError>(Response::new(http_body_util::StreamBody::new(Box::pin(drops))))
    }));
    let started = tokio_now();
    let error = refresh_error(dripping).await;
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
    assert_eq!(tokio_now() - started, Duration::from_secs(15));
}

#[tokio::test]
async fn an_endless_body_is_refused_at_1_mib() {
    let read = Arc::new(Mutex::new(0_usize));
    let counter = Arc::clone(&read);
    let endless = Transport::new(tower::service_fn(move |_| {
        let counter = Arc::clone(&counter);
        let chunks = futures_util::stream::repeat_with(move || {
            *counter.lock().unwrap() += 4096;
            Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(&[b' '; 4096])))
        });
        async move { Ok::<_, BoxError>(Response::new(http_body_util::StreamBody::new(chunks))) }
    }));
    let error = refresh_error(endless).await;
    assert_eq!(error.kind(), &Kind::InvalidResponse { rule: "is too long" });
    assert!(error.may_have_consumed());
    assert_eq!(*read.lock().unwrap(), 1024 * 1024 + 4096);
}

#[tokio::test]
async fn a_body_announced_as_too_large_is_not_read() {
    let script = Script::default();
    let transport = script.answering(|_, _| {
        let mut response = answer(200, tokens().to_string());
        response.headers_mut().insert("content-length", http::HeaderValue::from_static("1048577"));
        response
    });
    assert_eq!(
        refresh_error(transport).await.kind(),
        &Kind::InvalidResponse { rule: "is too long" }
    );
}

#[tokio::test]
async fn a_large_error_page_does_not_hide_the_status() {
    let script = Script::default();
    let error = refresh_error(script.answering(|_, _| answer(503, vec![b'x'; 100_000]))).await;
    assert_eq!(
        (error.kind(), error.may_have_consumed()),
        (&Kind::Unavailable { retry_after: None }, false)
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_answer() {
    for status in [200, 400] {
        let broken = Transport::new(tower::service_fn(move |_| async move {
            let frames = [Ok(http_body::Frame::data(Bytes::from_static(b"{"))), Err("reset")];
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            let body = body.map_err(BoxError::from);
            Ok::<_, BoxError>(Response::builder().status(status).body(body).unwrap())
        }));
        let error = refresh_error(broken).await;
        assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true), "{status}");
    }
}

/// Sends these bytes, and then an error or nothing ever.
fn breaking_off(sent: String, hangs: bool) -> Transport {
    Transport::new(tower::service_fn(move |_| {
        let sent = Bytes::from(sent.clone());
        async move {
            let sent = futures_util::stream::iter([Ok(http_body::Frame::data(sent))]);
            let end = futures_util::stream::once(async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Err("reset")
            });
            let body = http_body_util::StreamBody::new(futures_util::StreamExt::chain(sent, end));
            Ok::<_, BoxError>(Response::new(body.map_err(BoxError::from)))
        }
    }))
}

#[tokio::test(start_paused = true)]
async fn what_came_before_it_broke_off_counts_if_the_new_refresh_token_is_in_it() {
    for hangs in [false, true] {
        let whole = tokens().to_string();
        let provider = endpoint(breaking_off(whole.clone(), hangs)).validate().unwrap();
        assert!(provider.refresh_always(&refresh_token()).await.is_ok(), "hangs: {hangs}");

        let before_it = whole.split("refresh_token").next().unwrap().to_owned();
        let error = refresh_error(breaking_off(before_it, hangs)).await;
        assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
        let form = "access_token=at&expires_in=60&refresh_token=half-of-it".to_owned();
        let error = refresh_error(breaking_off(form, hangs)).await;
        assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
        // As the provider repeats it.
        let old = format!(
            r#"{{"refresh_token":"{}","acc"#,
            secrecy::ExposeSecret::expose_secret(&refresh_token())
        );
        let error = refresh_error(breaking_off(old, hangs)).await;
        assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
        // It says itself that it is whole.
        let without = r#"{"access_token":"at","expires_in":60}"#.to_owned();
        let provider = endpoint(breaking_off(without, hangs)).validate().unwrap();
        assert!(provider.refresh_always(&refresh_token()).await.is_ok(), "hangs: {hangs}");
        let error = refresh_error(breaking_off(r#"{"error":"invalid_grant"}"#.into(), hangs)).await;
        assert_eq!(error.kind(), &Kind::InvalidGrant);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let script = Script::default();
    let transport = script.answering(|_, _| {
        let mut response = answer(307, "");
        response
            .headers_mut()
            .insert("location", http::HeaderValue::from_static("https://evil.example/"));
        response
    });
    assert_eq!(
        refresh_error(transport).await.kind(),
        &Kind::InvalidResponse { rule: "is a redirect" }
    );
    assert_eq!(script.sent().len(), 1);
}

fn packed(how: &str, body: &[u8]) -> Vec<u8> {
    use std::io::Write;

    use flate2::{Compression, write};
    let level = Compression::default();
    match how {
        "deflate" => {
            let mut encoder = write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate without a frame" => {
            let mut encoder = write::DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Without the checksum and the length.
fn without_end(mut packed: Vec<u8>) -> Vec<u8> {
    packed.truncate(packed.len() - 8);
    packed
}

fn coded(coding: &'static str, body: Vec<u8>) -> Transport {
    Script::default().answering(move |_, _| {
        let mut response = answer(200, body.clone());
        response.headers_mut().insert("content-encoding", http::HeaderValue::from_static(coding));
        response
    })
}

#[tokio::test]
async fn a_compression_that_nobody_asked_for_is_undone() {
    for (coding, how) in [
        ("gzip", "gzip"),
        ("X-GZIP", "gzip"),
        ("deflate", "deflate"),
        ("deflate", "deflate without a frame"),
    ] {
        let transport = coded(coding, packed(how, tokens().to_string().as_bytes()));
        let provider = endpoint(transport).validate().unwrap();
        assert!(provider.refresh_always(&refresh_token()).await.is_ok(), "{how}");
    }
    let twice = packed("gzip", &packed("deflate", tokens().to_string().as_bytes()));
    for (coding, body) in [
        ("deflate, gzip", twice.clone()),
        ("gzip, identity", packed("gzip", tokens().to_string().as_bytes())),
        ("", packed("gzip", tokens().to_string().as_bytes())),
        ("gzip", [packed("gzip", tokens().to_string().as_bytes()), vec![0; 8]].concat()),
        ("gzip", without_end(packed("gzip", tokens().to_string().as_bytes()))),
    ] {
        let transport = coded(coding, body);
        let provider = endpoint(transport).validate().unwrap();
        assert!(provider.refresh_always(&refresh_token()).await.is_ok(), "{coding}");
    }
    let plain = coded("identity", tokens().to_string().into());
    assert!(endpoint(plain).validate().unwrap().refresh_always(&refresh_token()).await.is_ok());
}

/// 100 MiB in 100 KiB. More than the limit is never unpacked.
#[tokio::test]
async fn a_body_that_unpacks_to_too_much_is_refused() {
    for how in ["gzip", "deflate"] {
        let bomb = packed(how, &vec![b' '; 100 * 1024 * 1024]);
        assert!(bomb.len() < MAX_ANSWER);
        let error = refresh_error(coded(how, bomb)).await;
        assert!(error.may_have_consumed());
        assert_eq!(error.kind(), &Kind::InvalidResponse { rule: "is too long" }, "{how}");
    }
}

#[tokio::test]
async fn what_does_not_unpack_is_read_as_it_is() {
    for coding in ["gzip", "deflate"] {
        let plain = coded(coding, tokens().to_string().into());
        assert!(endpoint(plain).validate().unwrap().refresh_always(&refresh_token()).await.is_ok());
        let mut cut = packed(coding, tokens().to_string().as_bytes());
        cut.truncate(cut.len() / 2);
        let error = refresh_error(coded(coding, cut)).await;
        assert!(matches!(error.kind(), Kind::InvalidResponse { .. }), "{coding}");
        assert!(error.may_have_consumed(), "the answer may have held the only new token");
    }
}

#[tokio::test]
async fn the_limit_is_a_setting() {
    let long = || {
        let mut response = tokens();
        response["access_token"] = "a".repeat(2 * MAX_ANSWER).into();
        Script::default().answering(move |_, _| answer(200, response.to_string()))
    };
    assert_eq!(refresh_error(long()).await.kind(), &Kind::InvalidResponse { rule: "is too long" });
    let provider = endpoint(long()).max_answer_bytes(3 * MAX_ANSWER).validate().unwrap();
    assert!(provider.refresh_always(&refresh_token()).await.is_ok());
    for bytes in [0, 4095, 64 * 1024 * 1024 + 1] {
        assert!(endpoint(long()).max_answer_bytes(bytes).validate().is_err(), "{bytes}");
    }
}
