//! The session layer reads the session's cookie by one name only, and no cookie of somebody else
//! takes its place or hides it.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Request, Response, header},
    routing,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};
use tower_token_refresh::{ConfigError, SessionCookieLayer, cookies, tower_sessions};

/// Alice and mallory have a session each, below tower-sessions' own layer.
struct Shop {
    app: Router,
    alice: String,
    mallory: String,
}

async fn shop(name: &'static str) -> Shop {
    let store = MemoryStore::default();
    let session_of = async |user: &str| {
        let session = Session::new(None, Arc::new(store.clone()), None);
        session.insert("user", user).await.unwrap();
        session.save().await.unwrap();
        session.id().unwrap().to_string()
    };
    let (alice, mallory) = (session_of("alice").await, session_of("mallory").await);
    let user = async |session: Session| {
        session.get::<String>("user").await.unwrap().unwrap_or_else(|| "nobody".to_owned())
    };
    let app = Router::new()
        .route("/user", routing::get(user))
        .route("/leave", routing::get(async |session: Session| session.flush().await.unwrap()))
        .layer(SessionManagerLayer::new(store.clone()).with_name(name))
        .layer(SessionCookieLayer::new(name).unwrap());
    Shop { app, alice, mallory }
}

fn request(path: &str, lines: &[impl AsRef<[u8]>]) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().unwrap();
    for line in lines {
        let line = HeaderValue::from_bytes(line.as_ref()).unwrap();
        request.headers_mut().append(header::COOKIE, line);
    }
    request
}

impl Shop {
    async fn user(&self, lines: &[impl AsRef<[u8]>]) -> String {
        let response = self.app.clone().oneshot(request("/user", lines)).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    async fn left(&self, line: String) -> Response<Body> {
        self.app.clone().oneshot(request("/leave", &[line])).await.unwrap()
    }
}

/// What the service below the layer is sent.
async fn below(name: &str, lines: &[&[u8]]) -> Vec<Vec<u8>> {
    let echo = service_fn(async |request: Request<Body>| {
        let lines = request.headers().get_all(header::COOKIE).iter();
        let lines: Vec<_> = lines.map(|line| line.as_bytes().to_vec()).collect();
        Ok::<_, Infallible>(Response::new(lines))
    });
    let mut service = SessionCookieLayer::new(name).unwrap().layer(echo);
    service.ready().await.unwrap().call(request("/", lines)).await.unwrap().into_body()
}

#[tokio::test]
async fn an_encoded_name_does_not_take_the_sessions_place() {
    let shop = shop("__Host-session").await;
    let own = format!("__Host-session={}", shop.alice);
    for name in ["%5F_Host-session", "%5f%5fHost-session", "__Host-%73ession", "__Host%2Dsession"] {
        let planted = format!("{name}={}", shop.mallory);
        for line in [format!("{own}; {planted}"), format!("{planted}; {own}")] {
            assert_eq!(shop.user(&[&line]).await, "alice", "{line}");
        }
        assert_eq!(shop.user(&[&own, &planted]).await, "alice", "{name} in a line of its own");
        assert_eq!(shop.user(&[&planted]).await, "nobody", "{name} alone");
    }
}

/// The `cookie` crate trims by Unicode's rules, and browsers only by ASCII's.
#[tokio::test]
async fn a_name_with_odd_white_space_does_not_take_the_sessions_place() {
    let shop = shop("__Host-session").await;
    for space in ["\u{a0}", "\u{3000}", "\u{85}"] {
        for name in [format!("{space}__Host-session"), format!("__Host-session{space}")] {
            let own = format!("__Host-session={}", shop.alice);
            let planted = format!("{name}={}", shop.mallory);
            assert_eq!(shop.user(&[&own, &planted]).await, "alice", "{name:?}");
            assert_eq!(shop.user(&[&planted]).await, "nobody", "{name:?} alone");
        }
    }
}

#[tokio::test]
async fn an_encoded_name_locks_nobody_out() {
    let shop = shop("session").await;
    for junk in ["junk", "%ff", ""] {
        let line = format!("session={}; %73ession={junk}", shop.alice);
        assert_eq!(shop.user(&[&line]).await, "alice", "{junk}");
    }
}

#[tokio::test]
async fn of_two_sessions_neither_is_taken() {
    let shop = shop("session").await;
    let (alice, mallory) = (format!("session={}", shop.alice), format!("session={}", shop.mallory));
    assert_eq!(shop.user(&[format!("{alice}; {mallory}")]).await, "nobody");
    assert_eq!(shop.user(&[&mallory, &alice]).await, "nobody");
    assert_eq!(shop.user(&[format!("{alice}; {alice}")]).await, "nobody");
    let kept = below("session", &[b"a=1; session=x; b=2", b"session=y; c=3"]).await;
    assert_eq!(kept, [&b"a=1; b=2"[..], b"c=3"]);
}

#[tokio::test]
async fn a_neighbour_that_is_not_ascii_does_not_hide_the_session() {
    let shop = shop("session").await;
    for neighbour in [&b"name=J\xfcrgen"[..], "name=Jürgen".as_bytes()] {
        let own = format!("session={}", shop.alice).into_bytes();
        for line in [[neighbour, &own].join(&b"; "[..]), [&own, neighbour].join(&b"; "[..])] {
            assert_eq!(shop.user(&[line]).await, "alice");
        }
    }
}

#[tokio::test]
async fn the_cookies_of_others_stay_byte_for_byte_and_in_order() {
    let planted =
        &b"b=J\xfcrgen; %73ession=evil; a=\"x y\"; session=mine;c=%20;  lone; =nameless"[..];
    let kept = below("session", &[b"first=1;second=2", planted, b"xsession=3; session2=4"]).await;
    assert_eq!(
        kept,
        [
            &b"first=1;second=2"[..],
            b"b=J\xfcrgen; a=\"x y\"; c=%20; lone; =nameless",
            b"session=mine",
            b"xsession=3; session2=4",
        ]
    );
}

#[tokio::test]
async fn where_nothing_has_to_change_nothing_does() {
    let odd = &b"  a=1;;session=mine ;b=%73ession; ; Session=3; SESSION%=4"[..];
    for lines in [&[odd][..], &[b"other=J\xfcrgen; x", b"session=mine"], &[b"a=1"], &[]] {
        assert_eq!(below("session", lines).await, lines);
    }
}

/// The same bytes in memory: nothing was copied.
#[tokio::test]
async fn an_untouched_line_is_the_browsers_own() {
    let address = service_fn(async |request: Request<Body>| {
        let line = request.headers()[header::COOKIE].as_bytes().as_ptr().addr();
        Ok::<_, Infallible>(Response::new(line))
    });
    let request = request("/", &["a=1; session=mine; b=2"]);
    let before = request.headers()[header::COOKIE].as_bytes().as_ptr().addr();
    let service = SessionCookieLayer::new("session").unwrap().layer(address);
    assert_eq!(service.oneshot(request).await.unwrap().into_body(), before);
}

fn set_cookie(response: &Response<Body>) -> &str {
    response.headers()[header::SET_COOKIE].to_str().unwrap()
}

#[tokio::test]
async fn a_removal_that_a_browser_would_ignore_becomes_secure() {
    for name in ["__Host-session", "__Secure-session", "__host-session"] {
        let shop = shop(name).await;
        let response = shop.left(format!("{name}={}", shop.alice)).await;
        let line = set_cookie(&response);
        assert!(line.starts_with(&format!("{name}=;")) && line.contains("Max-Age=0"), "{line}");
        assert!(line.ends_with("; Secure"), "{line}");
    }
    let shop = shop("session").await;
    let response = shop.left(format!("session={}", shop.alice)).await;
    assert!(!set_cookie(&response).contains("Secure"), "over http it must not be");
}

#[tokio::test]
async fn only_lines_about_the_session_become_secure_and_none_twice() {
    let lines = [
        "__Host-session=1; Path=/; secure",
        "__Host-session=; Max-Age=0",
        "theme=dark",
        "__Host-sessions=1",
    ];
    let answer = service_fn(move |_: Request<Body>| {
        let mut response = Response::new(());
        for line in lines {
            response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_static(line));
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let service = SessionCookieLayer::new("__Host-session").unwrap().layer(answer);
    let response = service.oneshot(Request::new(Body::empty())).await.unwrap();
    let sent: Vec<_> = response.headers().get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(sent, [lines[0], "__Host-session=; Max-Age=0; Secure", lines[2], lines[3]]);
}

#[test]
fn a_name_that_is_no_cookies_is_a_wrong_setting() {
    for name in ["", "a b", "a=b", "a;b", "a%41", "é", "a\"b", "a,b", "a\r\n"] {
        let error = SessionCookieLayer::new(name).expect_err(name);
        assert!(matches!(error, ConfigError::Range { .. }), "{error}");
    }
    for name in ["id", "__Host-session", "my.sid", "a|b^c"] {
        SessionCookieLayer::new(name).expect(name);
    }
}

#[test]
fn a_name_is_decoded_as_the_cookie_crate_does() {
    use tower_sessions::cookie::Cookie;

    let raw = ["%73ession", "session", "\u{a0}session", "50%", "%zz", "%2573", "%5F_a", "a%20"];
    for name in raw {
        let theirs = Cookie::parse_encoded(format!("{name}=1")).expect(name);
        assert_eq!(*cookies::decoded_name(name.as_bytes()), *theirs.name().trim().as_bytes());
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, HeaderValue::from_static("%73ession=%20"));
    assert_eq!(cookies::sent(&headers).next(), Some((&b"%73ession"[..], &b"%20"[..])));
}
