//! The settings: what is taken, and how an error reads.

use std::time::Duration;

use tower_token_refresh::RefreshConfig;

use crate::{
    app::settings::{Sessions, Settings, Upstream},
    world::settings_of,
};

pub(crate) const GOOD: [(&str, &str); 3] = [
    ("ISSUER_URL", "https://id.example"),
    ("CLIENT_ID", "web"),
    ("UPSTREAM_URL", "http://127.0.0.1:9000"),
];

/// What is wrong, as a whole environment's difference from [`GOOD`], and the line that says so.
pub(crate) const BAD: [(&[(&str, &str)], &str); 57] = [
    (&[("ISSUER_URL", "")], "ISSUER_URL: it is required, but it is missing or empty"),
    (&[("CLIENT_ID", "")], "CLIENT_ID: it is required, but it is missing or empty"),
    (&[("UPSTREAM_URL", "")], "UPSTREAM_URL: it is required, but it is missing or empty"),
    (&[("ISSUER_URL", "id.example")], "ISSUER_URL \"id.example\": it must be an absolute URL"),
    (
        &[("ISSUER_URL", "ftp://id.example")],
        "ISSUER_URL \"ftp://id.example\": it must be https, or http to loopback",
    ),
    (
        &[("ISSUER_URL", "http://id.example")],
        "ISSUER_URL \"http://id.example\": plain http is allowed for loopback only, as tokens would travel unencrypted; ALLOW_HTTP_ISSUER=1 allows it",
    ),
    (&[("ALLOW_HTTP_ISSUER", "no")], "ALLOW_HTTP_ISSUER \"no\": it must be 1 or 0"),
    (
        &[("ISSUER_URL", "https://a:hunter2@id.example")],
        "ISSUER_URL \"https://…@id.example\": it must have no user name, query or fragment",
    ),
    (
        &[("ISSUER_URL", "https://id.example?a=hunter2")],
        "ISSUER_URL \"https://id.example?…\": it must have no user name, query or fragment",
    ),
    (
        &[("ACCEPT_ISSUERS", "id.example https://id.example/{tenant}/v2.0")],
        "ACCEPT_ISSUERS \"https://id.example/{tenant}/v2.0\": only {tenantid} may stand in braces",
    ),
    (
        &[("LOGIN_PARAMS", "audience=https://api.example&state=mine")],
        "LOGIN_PARAMS \"state\": must have a name, and not one that this application sends itself",
    ),
    (
        &[("LOGIN_PARAMS", "response_mode=form_post")],
        "LOGIN_PARAMS \"response_mode\": must have a name, and not one that this application sends itself",
    ),
    (&[("LOGIN_PARAMS", "max_age=soon")], "LOGIN_PARAMS \"soon\": max_age must be whole seconds"),
    (
        &[("REFRESH_PARAMS", "=hunter2")],
        "REFRESH_PARAMS \"\": must have a name, and not one that this application sends itself",
    ),
    (&[("ISSUER_URL", "a\nb")], "ISSUER_URL \"a\\nb\": it must be an absolute URL"),
    (
        &[("UPSTREAM_URL", "127.0.0.1:9000")],
        "UPSTREAM_URL \"127.0.0.1:9000\": it must be an absolute URL",
    ),
    (
        &[("UPSTREAM_URL", "ftp://api.example")],
        "UPSTREAM_URL \"ftp://api.example\": it must be http or https",
    ),
    (&[("UPSTREAMS", "https://orders.example")], UPSTREAMS_RULE),
    (
        &[("UPSTREAMS", "/orders=https://orders.example")],
        "UPSTREAMS \"/orders=https://orders.example\": each must be a path below /api, then = and a URL, such as /api/orders=https://orders.example",
    ),
    (
        &[("UPSTREAMS", "/api/orders=http://a /api/orders=http://b")],
        "UPSTREAMS \"/api/orders=http://b\": this path is there twice",
    ),
    (
        &[("UPSTREAMS", "/api/orders=https://a:hunter2@orders")],
        "UPSTREAMS \"https://…@orders\": it must have no user name, query or fragment",
    ),
    (
        &[("UPSTREAMS", "/api/orders=orders:9000")],
        "UPSTREAMS \"orders:9000\": it must be http or https",
    ),
    (
        &[("UPSTREAM_URL", "http://a:hunter2@api")],
        "UPSTREAM_URL \"http://…@api\": it must have no user name, query or fragment",
    ),
    (
        &[("UPSTREAM_URL", "http://api?a=hunter2")],
        "UPSTREAM_URL \"http://api?…\": it must have no user name, query or fragment",
    ),
    (&[("BASE_URL", "shop.example")], "BASE_URL \"shop.example\": it must be an absolute URL"),
    (
        &[("BASE_URL", "ws://shop.example")],
        "BASE_URL \"ws://shop.example\": it must be http or https",
    ),
    (
        &[("BASE_URL", "http://shop.example/app")],
        "BASE_URL \"http://shop.example/app\": it must have no path: the cookies are valid for the whole host",
    ),
    (
        &[("BASE_URL", "http://hunter2@shop.example")],
        "BASE_URL \"http://…@shop.example\": it must have no user name, query or fragment",
    ),
    (
        &[("BASE_URL", "https://shop.example")],
        "LISTEN: it is required if BASE_URL is https: this application speaks plain http, behind a proxy that does TLS",
    ),
    (&[("LISTEN", "8080")], "LISTEN \"8080\": it must be host:port, with a port from 0 to 65535"),
    (
        &[("LISTEN", "127.0.0.1:x")],
        "LISTEN \"127.0.0.1:x\": it must be host:port, with a port from 0 to 65535",
    ),
    (
        &[("LISTEN", "127.0.0.1:70000")],
        "LISTEN \"127.0.0.1:70000\": it must be host:port, with a port from 0 to 65535",
    ),
    (&[("LISTEN", ":8080")], "LISTEN \":8080\": it must be host:port, with a port from 0 to 65535"),
    (&[("SCOPES", "profile")], "SCOPES \"profile\": openid must be among them"),
    (
        &[("SCOPES", "openid \"x\"")],
        "SCOPES \"openid \\\"x\\\"\": they must be ASCII words separated by spaces",
    ),
    (&[("REDIS_URL", "127.0.0.1:6379")], "REDIS_URL: it must be redis://host:port"),
    (
        &[("REDIS_URL", "rediss://:hunter2@r:1")],
        "REDIS_URL \"rediss://…@r:1\": it must be redis://host:port",
    ),
    (
        &[("DATABASE_URL", "mysql://a:hunter2@db/x")],
        "DATABASE_URL \"mysql://…@db/x\": it must be postgres://host/name or sqlite:path",
    ),
    (
        &[("DATABASE_URL", "postgres:hunter2@db")],
        "DATABASE_URL: it must be postgres://host/name or sqlite:path",
    ),
    (
        &[("DATABASE_URL", "host=db user=app password=hunter2")],
        "DATABASE_URL: it must be postgres://host/name or sqlite:path",
    ),
    (
        &[("REDIS_URL", "redis://:hunter2@r:1"), ("DATABASE_URL", "sqlite:x")],
        "REDIS_URL \"redis://…@r:1\": set REDIS_URL or DATABASE_URL, not both",
    ),
    (
        &[("TOKEN_KEYS", "hunter2!")],
        "TOKEN_KEYS: seal key 1 is not base64 (the standard or the URL-safe alphabet, with or without padding)",
    ),
    (
        &[("TOKEN_KEYS", "hunter2s")],
        "TOKEN_KEYS: seal key 1 has 6 bytes: a key has 32, such as `openssl rand -base64 32` prints",
    ),
    (
        &[("TOKEN_KEYS", "b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0=,")],
        "TOKEN_KEYS: seal key 2 has 0 bytes: a key has 32, such as `openssl rand -base64 32` prints",
    ),
    (&[("INDEX_KEY", "hunter2!")], INDEX_KEY_RULE),
    // 31 bytes
    (&[("INDEX_KEY", "aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMg==")], INDEX_KEY_RULE),
    (
        &[(
            "INDEX_KEY",
            "b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0=,b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0=",
        )],
        INDEX_KEY_RULE,
    ),
    (
        &[("STATIC_DIR", "/nowhere/at/all")],
        "STATIC_DIR \"/nowhere/at/all\": it must be a directory that has an index.html",
    ),
    (&[("STATIC_DIR", "src")], "STATIC_DIR \"src\": it must be a directory that has an index.html"),
    (&[("AUDIT_KEY", "hunter2!")], AUDIT_KEY_RULE),
    (
        &[("METRICS_LISTEN", "9100")],
        "METRICS_LISTEN \"9100\": it must be host:port, with a port from 0 to 65535",
    ),
    (
        &[("REFRESH_REQUEST_TIMEOUT", "20")],
        "REFRESH_REQUEST_TIMEOUT: invalid type: found unsigned int `20`, expected a time with its unit, such as \"60s\" or \"1m 30s\"",
    ),
    (
        &[("REFRESH_ATTEMPTS", "many")],
        "REFRESH_ATTEMPTS: invalid type: found string \"many\", expected u32",
    ),
    (
        &[("REFRESH_STORE_TIMEOUT", "0s")],
        "REFRESH_*: store_timeout is 0ns: it must be longer than 0 s",
    ),
    (
        &[("REFRESH_REQUEST_TIMEOUT", "0s")],
        "REFRESH_*: request_timeout is 0ns: it must be longer than 0 s",
    ),
    (
        &[("CONFIG_FILE", "/nowhere/at/all")],
        "CONFIG_FILE \"/nowhere/at/all\": No such file or directory (os error 2)",
    ),
    (
        // The secret itself, by mistake.
        &[("CLIENT_SECRET_FILE", "/hunter2")],
        "CLIENT_SECRET_FILE: it names no file: No such file or directory (os error 2)",
    ),
];

const UPSTREAMS_RULE: &str = "UPSTREAMS \"https://orders.example\": each must be a path below /api, then = and a URL, such as /api/orders=https://orders.example";
const INDEX_KEY_RULE: &str =
    "INDEX_KEY: it must be base64 of at least 32 bytes, such as `openssl rand -base64 32` prints";

const AUDIT_KEY_RULE: &str =
    "AUDIT_KEY: it must be base64 of at least 32 bytes, such as `openssl rand -base64 32` prints";

/// [`GOOD`], with these in place of its own.
pub(crate) fn read(others: &[(&str, &str)]) -> Result<Settings, String> {
    settings_of(&[&GOOD[..], others].concat()).map_err(|error| error.to_string())
}

#[test]
fn a_bad_setting_is_one_line_that_names_variable_value_and_rule() {
    for (others, line) in BAD {
        assert_eq!(read(others).err().as_deref(), Some(line), "{others:?}");
    }
}

/// Its parser would call itself for each of them, until the stack is full.
#[test]
fn brackets_of_a_variable_are_no_list() {
    let brackets = "[".repeat(100_000);
    let error = read(&[("REFRESH_ATTEMPTS", &brackets)]).err().expect("refused");
    assert!(error.starts_with("REFRESH_ATTEMPTS: invalid type: found string \"[["), "{error:.100}");
}

#[test]
fn the_defaults_are_as_documented() {
    let empty = [
        "ACCEPT_ISSUERS",
        "CLIENT_SECRET",
        "BASE_URL",
        "LISTEN",
        "SCOPES",
        "REDIS_URL",
        "DATABASE_URL",
        "TOKEN_KEYS",
        "INDEX_KEY",
        "UPSTREAMS",
        "STATIC_DIR",
        "ALLOW_HTTP_ISSUER",
        "AUDIT_KEY",
        "METRICS_LISTEN",
        "CONFIG_FILE",
        "CLIENT_SECRET_FILE",
        "REFRESH_LEEWAY",
    ]
    .map(|name| (name, ""));
    for others in [&[][..], &empty] {
        let settings = read(others).unwrap();
        assert_eq!(settings.issuer, "https://id.example");
        assert!(settings.accept_issuers.is_empty());
        assert_eq!(settings.client_secret, None);
        assert_eq!(settings.base.origin(), "http://127.0.0.1:8080");
        assert_eq!(settings.listen, "127.0.0.1:8080");
        assert_eq!(settings.scopes, ["openid", "profile", "email"]);
        assert!(matches!(settings.sessions, Sessions::Memory));
        assert!(settings.token_keys.is_none() && settings.index_key.is_none());
        assert_eq!(settings.refresh, RefreshConfig::default());
    }
}

#[test]
fn good_settings_are_taken() {
    let accepted = read(&[("ACCEPT_ISSUERS", " id.example  https://id.example/{tenantid}/v2.0 ")]);
    let accepted = accepted.unwrap().accept_issuers;
    assert_eq!(accepted, ["id.example", "https://id.example/{tenantid}/v2.0"]);
    let by_http = |url, switch| {
        let settings = read(&[("ISSUER_URL", url), ("ALLOW_HTTP_ISSUER", switch)]);
        settings.map(|settings| settings.http_to)
    };
    let keycloak = "http://keycloak:8080/realms/a";
    assert_eq!(by_http(keycloak, "1"), Ok(Some("keycloak".to_owned())));
    assert!(by_http(keycloak, "0").is_err());
    for url in ["https://id.example", "http://localhost:8080"] {
        assert_eq!(by_http(url, "1"), Ok(None), "needs no permission");
    }
    let listen = |base: &str| read(&[("BASE_URL", base)]).unwrap().listen;
    assert_eq!(listen("http://localhost:3000/"), "localhost:3000");
    assert_eq!(listen("http://shop.example"), "shop.example:80");
    assert_eq!(listen("http://[::1]:3000"), "[::1]:3000");
    let behind =
        read(&[("BASE_URL", "https://Shop.example:443/"), ("LISTEN", "0.0.0.0:8080")]).unwrap();
    assert_eq!(
        (behind.base.origin().as_str(), behind.listen.as_str()),
        ("https://shop.example", "0.0.0.0:8080")
    );
    assert!(read(&[("LISTEN", "[::]:8080")]).is_ok());
    assert!(read(&[("ISSUER_URL", "http://localhost:8080/realms/a")]).is_ok());
    let upstreams = read(&[
        ("UPSTREAM_URL", "http://api:9000/v1/"),
        ("UPSTREAMS", " /api/a=https://a.example  /api/a/b=http://b:1/x "),
    ]);
    let upstreams = upstreams.unwrap().upstreams;
    let upstreams: Vec<_> = upstreams
        .iter()
        .map(|upstream| {
            let Upstream { prefix, scheme, authority, path } = upstream;
            (prefix.as_str(), scheme.as_str(), authority.as_str(), path.as_str())
        })
        .collect();
    let longest_first = [
        ("/api/a/b", "http", "b:1", "/x"),
        ("/api/a", "https", "a.example", ""),
        ("/api", "http", "api:9000", "/v1"),
    ];
    assert_eq!(upstreams, longest_first);
    for prefix in
        ["/api", "/api/", "/api/a/", "/api//a", "/api/..", "/api/%61", "/api/a b", "/apis/a"]
    {
        assert!(read(&[("UPSTREAMS", &format!("{prefix}=http://a"))]).is_err(), "{prefix}");
    }
    let sessions = |name, value| read(&[(name, value)]).unwrap().sessions;
    assert!(matches!(sessions("REDIS_URL", "redis://:pw@127.0.0.1:6379/1"), Sessions::Redis(_)));
    assert!(matches!(sessions("DATABASE_URL", "postgres://a:b@db/x"), Sessions::Postgres(_)));
    assert!(matches!(sessions("DATABASE_URL", "postgresql://db/x"), Sessions::Postgres(_)));
    assert!(matches!(sessions("DATABASE_URL", "sqlite::memory:"), Sessions::Sqlite(_)));
    assert!(matches!(
        sessions("DATABASE_URL", "sqlite://sessions.db?mode=rwc"),
        Sessions::Sqlite(_)
    ));
    let key = "b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0=";
    assert!(read(&[("TOKEN_KEYS", &format!("{key}, {key}"))]).unwrap().token_keys.is_some());
    assert_eq!(
        read(&[("INDEX_KEY", key)]).unwrap().index_key.unwrap(),
        *b"old-key-old-key-old-key-old-key-"
    );
    let refresh = [("REFRESH_REQUEST_TIMEOUT", "2s"), ("REFRESH_ATTEMPTS", "3")];
    let settings = read(&refresh).unwrap();
    assert_eq!(settings.refresh.request_timeout, Some(Duration::from_secs(2)));
    assert_eq!(settings.refresh.attempts, Some(3));
    assert_eq!(settings.refresh_as_set, "attempts=3, request_timeout=2s");
}
