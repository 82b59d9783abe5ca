//! Settings that cannot work: the name, the value and the rule, before anything is served.

use axum::Router;
use tower_token_refresh::{
    ClientAuth, ConfigError, LoginRoutes, TokenEndpoint, TokenRefresher,
    tower_sessions::MemoryStore,
};

fn refresher(endpoint: TokenEndpoint) -> TokenRefresher {
    TokenRefresher::builder(endpoint, MemoryStore::default()).build().expect("settings that agree")
}

fn endpoint() -> TokenEndpoint {
    TokenEndpoint::discover("https://id.example", ClientAuth::none("web")).lazy()
}

fn error_of(origin: &str, set: impl FnOnce(LoginRoutes) -> LoginRoutes) -> String {
    let routes = set(refresher(endpoint()).login_routes(origin));
    let built: Result<Router, ConfigError> = routes.build();
    built.expect_err("it cannot work").to_string()
}

#[test]
fn a_wrong_origin_is_named() {
    for (origin, rule) in [
        ("shop.example", "not an absolute URL"),
        ("ftp://shop.example", "http or https"),
        ("https://shop.example/app", "no path"),
        ("https://shop.example/?a=b", "no path"),
        ("https://alice:pass@shop.example", "no user name"),
    ] {
        let error = error_of(origin, |routes| routes);
        assert!(error.contains(rule) && error.contains("origin"), "{origin}: {error}");
        assert!(!error.contains("pass@"), "{error}");
    }
}

#[test]
fn a_wrong_setting_is_named_with_its_value() {
    type Set = fn(LoginRoutes) -> LoginRoutes;
    let rows: [(&str, Set); 15] = [
        (r#""auth""#, |routes| routes.prefix("auth")),
        (r#""/auth/""#, |routes| routes.prefix("/auth/")),
        (r#""login""#, |routes| routes.login_path("login")),
        (r#""//evil.example""#, |routes| routes.callback_path("//evil.example")),
        (r#""/{id}""#, |routes| routes.logout_path("/{id}")),
        (r#""/login""#, |routes| routes.logout_path("/login")),
        (r#""https://evil.example""#, |routes| routes.home("https://evil.example")),
        (r#""bye""#, |routes| routes.after_logout("bye")),
        (r#""a b""#, |routes| routes.scopes(["openid", "a b"])),
        (r#""profile""#, |routes| routes.scopes(["profile"])),
        (r#""redirect_uri""#, |routes| routes.param("redirect_uri", "x")),
        (r#""soon""#, |routes| routes.param("max_age", "soon")),
        (r#""/:id""#, |routes| routes.callback_path("/:id")),
        (r#""/*all""#, |routes| routes.callback_path("/*all")),
        (r#""60""#, |routes| {
            let routes = routes.scopes(["read"]).param("max_age", "60");
            routes.user_info(async |_| Ok(tower_token_refresh::UserInfo::new("alice")))
        }),
    ];
    for (value, set) in rows {
        let error = error_of("https://shop.example", set);
        assert!(error.contains(value), "{value}: {error}");
    }
}

#[test]
fn an_endpoint_that_cannot_log_in_is_refused() {
    let auth = || ClientAuth::none("web");
    let bare = || TokenEndpoint::new("https://id.example/token", auth());
    for (endpoint, rule) in [
        (bare(), "authorization_url"),
        (bare().authorization_url("https://id.example/authorize"), "issuer"),
    ] {
        let routes = refresher(endpoint).login_routes("https://shop.example");
        let built: Result<Router, ConfigError> = routes.build();
        let error = built.expect_err("it cannot work").to_string();
        assert!(error.contains(rule), "{error}");
    }
}
