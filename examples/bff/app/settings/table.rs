//! The table of all settings: `--help` prints it, the documentation of `main.rs` repeats it, and a
//! misspelt name is looked up in it.

use tower_token_refresh::RefreshConfig;

use super::source::variable_of;

pub struct Variable {
    pub name: &'static str,
    /// What counts where it is missing.
    pub default: &'static str,
    pub what: &'static str,
}

/// As in the documentation, so in Markdown.
pub const VARIABLES: [Variable; 20] = [
    variable(
        "ISSUER_URL",
        "required",
        "the provider, exactly as its discovery document names it; https, or http to loopback",
    ),
    variable(
        "ALLOW_HTTP_ISSUER",
        "0",
        "1 allows plain http to the provider over a network: whoever is on the way can read all tokens",
    ),
    variable(
        "ACCEPT_ISSUERS",
        "none",
        "other names of the provider, separated by spaces: `https://login.microsoftonline.com/{tenantid}/v2.0` for Microsoft Entra's `common`, `accounts.google.com` for Google. With `{tenantid}` the users of *every* tenant can log in, so your API must check `tid`; see `TokenEndpoint::accept_issuer`",
    ),
    variable("CLIENT_ID", "required", "the name of this application at the provider"),
    variable("CLIENT_SECRET", "none: a public client", "sent with `client_secret_basic`"),
    variable(
        "UPSTREAM_URL",
        "required",
        "the API, http or https; `/api/orders` goes to `orders` below its path",
    ),
    variable(
        "UPSTREAMS",
        "none",
        "other APIs for paths below `/api`, separated by spaces: `/api/orders=https://orders.example /api/users=http://users:9000/v1`. The longest path wins",
    ),
    variable(
        "BASE_URL",
        "`http://127.0.0.1:8080`",
        "this application as the browser sees it, without a path",
    ),
    variable(
        "LISTEN",
        "host and port of `BASE_URL`",
        "`host:port`; required if `BASE_URL` is https, as a proxy does TLS then",
    ),
    variable(
        "SCOPES",
        "`openid profile email`",
        "separated by spaces; `openid` must be one of them",
    ),
    variable(
        "LOGIN_PARAMS",
        "none",
        "added to the request that logs in, as in a query: `audience=https://api.example`, `access_type=offline&prompt=consent`",
    ),
    variable("REFRESH_PARAMS", "none", "added to every refresh: `resource=https://api.example`"),
    variable("REDIS_URL", "none", "sessions and tokens in Redis: `redis://`"),
    variable(
        "DATABASE_URL",
        "none",
        "sessions and tokens in SQL: `postgres://` or `sqlite:`; without either variable they are in memory",
    ),
    variable(
        "TOKEN_KEYS",
        "none",
        "seals the tokens in the store: what `openssl rand -base64 32` prints. With `new,old`, the new one seals and both open",
    ),
    variable(
        "INDEX_KEY",
        "none",
        "lets the provider end logins (OpenID Connect Back-Channel Logout 1.0): another such key",
    ),
    variable(
        "STATIC_DIR",
        "none: a page that says who is logged in",
        "a directory with a single-page app, whose `index.html` is served for each page that is no file",
    ),
    variable(
        "AUDIT_KEY",
        "none: a random one",
        "another such key: users have the same hash in the audit lines of all processes",
    ),
    variable(
        "METRICS_LISTEN",
        "none",
        "`host:port` at which `GET /metrics` is served for Prometheus, and `/healthz` and `/readyz` for an orchestrator",
    ),
    variable(
        REFRESH,
        "the library's",
        "times and limits, one variable for each key of the library's `RefreshConfig`: `REFRESH_LEEWAY=10s`, `REFRESH_REQUEST_TIMEOUT=20s`, `REFRESH_STORE_TIMEOUT=5s`, `REFRESH_ATTEMPTS=3`",
    ),
];

/// Stands for all of them.
pub const REFRESH: &str = "REFRESH_*";

/// What may also stand in a file, whose path is the variable with `_FILE` after it: platforms mount
/// secrets as files.
pub const SECRETS: [&str; 6] =
    ["CLIENT_SECRET", "REDIS_URL", "DATABASE_URL", "TOKEN_KEYS", "INDEX_KEY", "AUDIT_KEY"];

/// Every name that is read.
pub fn names() -> impl Iterator<Item = String> {
    let plain = VARIABLES.iter().map(|variable| variable.name.to_owned());
    let files = SECRETS.iter().map(|secret| format!("{secret}_FILE"));
    let refresh = RefreshConfig::KEYS.into_iter().map(variable_of);
    let config = std::iter::once("CONFIG_FILE".to_owned());
    plain.filter(|name| name != REFRESH).chain(files).chain(refresh).chain(config)
}

const fn variable(name: &'static str, default: &'static str, what: &'static str) -> Variable {
    Variable { name, default, what }
}
