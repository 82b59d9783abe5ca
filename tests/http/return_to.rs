//! Where a browser that is sent to log in comes back to: the page it asked for, and never another
//! site.

use ::http::{Method, Request, header};
use axum::Router;
use proptest::prelude::*;
use support::World;
use tower_token_refresh::{
    ConfigError, RefreshError, TokenRefreshLayer, rejection::redirect_browsers_to,
};

use super::rejections::{LOGIN, assert_problem, assert_sent_to, guarded, navigate, routes};

#[tokio::test]
async fn a_nested_router_sends_back_to_the_whole_path() {
    let world = World::on_memory();
    let app = Router::new().nest("/shop", guarded(&world));
    assert_sent_to(
        &navigate(&app, "/shop/account").await,
        "/auth/login?return_to=%2Fshop%2Faccount",
    );
}

#[tokio::test]
async fn a_path_that_could_lead_elsewhere_is_left_out() {
    let world = World::on_memory();
    let app = guarded(&world);
    let evil = [
        "//evil.example/",
        "/\\evil.example/",
        "/a\\..\\\\evil.example",
        "/account\\here",
        "/a/..//evil.example",
        "/.//evil.example",
        "/%2e//evil.example",
        "/%2E%2e//evil.example",
    ];
    for path in evil {
        // In absolute form, since as a path of its own `//host` is a host to whoever parses it.
        let answer = navigate(&app, &format!("http://shop.example{path}")).await;
        assert_sent_to(&answer, LOGIN);
    }
    let long = format!("/account?q={}", "x".repeat(1024 - "/account?q=".len()));
    assert_sent_to(&navigate(&app, &format!("{long}x")).await, LOGIN);
    assert_sent_to(
        &navigate(&app, &long).await,
        &format!("/auth/login?return_to=%2Faccount%3Fq%3D{}", &long[11..]),
    );
    // The browser's own name for this site does not count.
    let absolute = navigate(&app, "http://evil.example/account").await;
    assert_sent_to(&absolute, "/auth/login?return_to=%2Faccount");
}

#[tokio::test]
async fn a_login_page_that_is_guarded_by_mistake_is_no_loop() {
    let world = World::on_memory();
    let answer = navigate(&guarded(&world), "/auth/login?return_to=%2F").await;
    assert_problem(&answer, "no_tokens");
}

#[tokio::test]
async fn a_login_page_with_a_query_keeps_it() {
    let world = World::on_memory();
    let hook = redirect_browsers_to("/auth/login?provider=keycloak").expect("a path");
    let layer = TokenRefreshLayer::new(&world.refresher).on_rejection(hook);
    let app = routes().layer(layer).layer(world.refresher.session_layer());
    let answer = navigate(&app, "/account").await;
    assert_sent_to(&answer, "/auth/login?provider=keycloak&return_to=%2Faccount");
    assert_problem(&navigate(&app, LOGIN).await, "no_tokens");
}

#[test]
fn a_login_page_elsewhere_is_refused() {
    let wrong = [
        "",
        "login",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/login",
        "/log in",
        "/login#here",
        "/login\r\nset-cookie: a=b",
        "/l\u{f6}gin",
    ];
    for path in wrong {
        let Err(error) = redirect_browsers_to(path) else { panic!("{path:?} was taken") };
        assert!(matches!(error, ConfigError::Range { .. }), "{error}");
        assert!(error.to_string().contains("single `/`"), "{error}");
    }
}

proptest! {
    /// Whatever path a link has, the browser stays on this site and comes back to what it asked
    /// for, or to nothing.
    #[test]
    fn every_return_path_leads_back_here(path in "/[/\\\\.a-z%0-9?&=:@;,'|~\"{}-]{0,40}") {
        let address = format!("http://shop.example{path}");
        let Ok(uri) = address.parse::<::http::Uri>() else { return Ok(()) };
        let request = Request::builder().uri(uri).header("sec-fetch-mode", "navigate").body(());
        let (mut head, ()) = request.unwrap().into_parts();
        head.method = Method::GET;
        let hook = redirect_browsers_to(LOGIN).expect("a path");
        let error = no_tokens();
        let answer = hook(&error, &head).expect("a redirect");
        let location = answer.headers()[header::LOCATION].to_str().unwrap();
        let here = url::Url::parse("https://here.example/").unwrap();
        let login = here.join(location).unwrap();
        prop_assert_eq!((login.origin(), login.path()), (here.origin(), LOGIN));
        for (name, to) in login.query_pairs() {
            prop_assert_eq!(name, "return_to");
            prop_assert!(to.starts_with('/') && !to.starts_with("//"), "{}", to);
            prop_assert!(!to.contains('\\') && !to.contains(char::is_control), "{}", to);
            let back = here.join(&to).unwrap();
            prop_assert_eq!(back.origin(), here.origin());
            // Read once more, as a login page might that takes the path out of a URL.
            let again = here.join(&back[url::Position::BeforePath..]).unwrap();
            prop_assert_eq!(again.origin(), here.origin());
        }
    }
}

/// The error of an anonymous session.
fn no_tokens() -> RefreshError {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let world = World::on_memory();
        world
            .refresher
            .valid_token(&world.session_with(None, None))
            .await
            .expect_err("nobody is logged in")
    })
}
