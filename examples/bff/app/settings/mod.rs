//! The settings, parsed once. An error is one line: the variable, its value and the rule, and no
//! secret.

mod base;
mod error;
mod issuer;
mod keys;
mod misspelt;
mod params;
mod shown;
mod source;
pub mod table;
mod upstreams;

use std::{ffi::OsString, path::PathBuf};

use axum::http::uri::Authority;
use tower_token_refresh::{RefreshConfig, token_store::SealKeys};
use url::Url;

use self::source::Source;
use super::files::has_index;

pub use self::{
    base::BaseUrl,
    error::{SettingError, masked_url},
    misspelt::misspelt,
    params::Params,
    table::VARIABLES,
    upstreams::Upstream,
};

const BASE_URL: &str = "http://127.0.0.1:8080";
const SCOPES: &str = "openid profile email";
/// Stands for the tenant that a token names (`tid`, Microsoft Entra).
pub const TENANT: &str = "{tenantid}";

pub struct Settings {
    /// As given: an issuer is compared character by character.
    pub issuer: String,
    /// The provider's host, where it is reached by plain http over a network.
    pub http_to: Option<String>,
    /// By which other names the provider may call itself.
    pub accept_issuers: Vec<String>,
    pub client_id: String,
    pub client_secret: Option<String>,
    /// Longest prefix first; the last one is for all of `/api`.
    pub upstreams: Vec<Upstream>,
    pub base: BaseUrl,
    pub listen: String,
    pub scopes: Vec<String>,
    /// Added to the request that logs in.
    pub login_params: Params,
    /// Added to every refresh.
    pub refresh_params: Params,
    pub sessions: Sessions,
    /// The files of an app that is served in place of the home page.
    pub static_dir: Option<PathBuf>,
    /// Seals the tokens in the session store.
    pub token_keys: Option<SealKeys>,
    /// With it the session store can find the logins that the provider ends. Without it the
    /// provider cannot end any.
    pub index_key: Option<Vec<u8>>,
    /// Hashes users in audit lines.
    pub audit_key: Option<Vec<u8>>,
    /// Times and limits.
    pub refresh: RefreshConfig,
    /// The same as text: what was set of them.
    pub refresh_as_set: String,
    /// Where metrics are served.
    pub metrics_listen: Option<String>,
}

/// Where sessions are kept.
#[derive(Clone)]
pub enum Sessions {
    Memory,
    Redis(String),
    Postgres(String),
    Sqlite(String),
}

impl Settings {
    /// Reads the variables, usually those of the environment, and the files that they name.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingError> {
        let source = Source::new(variable)?;
        let (read, required) = (|name| source.text(name), |name| source.required(name));

        let issuer = required("ISSUER_URL")?;
        let by_http = switch("ALLOW_HTTP_ISSUER", read("ALLOW_HTTP_ISSUER")?.as_deref())?;
        let (issuer, http_to) = issuer::parse(issuer, by_http)?;
        let accept_issuers = accept_issuers(&read("ACCEPT_ISSUERS")?.unwrap_or_default())?;
        let client_id = required("CLIENT_ID")?;
        let client_secret = read("CLIENT_SECRET")?;
        let upstream = required("UPSTREAM_URL")?;
        let upstreams = upstreams::parse(&upstream, &read("UPSTREAMS")?.unwrap_or_default())?;
        let base = BaseUrl::parse(&read("BASE_URL")?.unwrap_or_else(|| BASE_URL.to_owned()))?;
        let listen = listen(read("LISTEN")?, &base)?;
        let scopes = scopes(&read("SCOPES")?.unwrap_or_else(|| SCOPES.to_owned()))?;
        let login_params = params::login(&read("LOGIN_PARAMS")?.unwrap_or_default())?;
        let refresh_params = params::refresh(&read("REFRESH_PARAMS")?.unwrap_or_default())?;
        let sessions = sessions(read("REDIS_URL")?, read("DATABASE_URL")?)?;
        let token_keys = read("TOKEN_KEYS")?.as_deref().map(keys::token_keys).transpose()?;
        let key = |name| read(name)?.map(|value| keys::key(name, &value)).transpose();
        let (index_key, audit_key) = (key("INDEX_KEY")?, key("AUDIT_KEY")?);
        let static_dir = read("STATIC_DIR")?.map(static_dir).transpose()?;
        let (refresh, refresh_as_set) = source.refresh()?;
        let metrics_listen = read("METRICS_LISTEN")?;
        let metrics_listen =
            metrics_listen.map(|value| host_and_port("METRICS_LISTEN", value)).transpose()?;
        Ok(Self {
            issuer,
            http_to,
            accept_issuers,
            client_id,
            client_secret,
            upstreams,
            base,
            listen,
            scopes,
            login_params,
            refresh_params,
            sessions,
            static_dir,
            token_keys,
            index_key,
            audit_key,
            refresh,
            refresh_as_set,
            metrics_listen,
        })
    }
}

/// The library's own rule, as a line about the variable.
fn accept_issuers(value: &str) -> Result<Vec<String>, SettingError> {
    let issuers: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
    match issuers.iter().find(|issuer| issuer.replace(TENANT, "").contains(['{', '}'])) {
        None => Ok(issuers),
        Some(issuer) => {
            let rule = "only {tenantid} may stand in braces";
            Err(SettingError::shown("ACCEPT_ISSUERS", issuer, rule))
        }
    }
}

fn listen(value: Option<String>, base: &BaseUrl) -> Result<String, SettingError> {
    let Some(value) = value else {
        if base.is_https() {
            let rule = "it is required if BASE_URL is https: this application speaks plain http, behind a proxy that does TLS";
            return Err(SettingError::unshown("LISTEN", rule));
        }
        return Ok(format!("{}:{}", base.as_url().host_str().unwrap_or_default(), base.port()));
    };
    host_and_port("LISTEN", value)
}

fn host_and_port(variable: &'static str, value: String) -> Result<String, SettingError> {
    const RULE: &str = "it must be host:port, with a port from 0 to 65535";
    let host_and_port = value.rsplit_once(':').filter(|(host, port)| {
        !host.is_empty()
            && port.parse::<u16>().is_ok()
            && (!host.contains(':') || host.starts_with('['))
    });
    match host_and_port {
        Some(_)
            if value.parse::<Authority>().is_ok_and(|parsed| !parsed.as_str().contains('@')) =>
        {
            Ok(value)
        }
        _ => Err(SettingError::shown(variable, &value, RULE)),
    }
}

fn scopes(value: &str) -> Result<Vec<String>, SettingError> {
    let scopes: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
    if !scopes.iter().any(|scope| scope == "openid") {
        return Err(SettingError::shown("SCOPES", value, "openid must be among them"));
    }
    // RFC 6749, 3.3
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if !value.bytes().all(|byte| allowed(byte) || byte == b' ') {
        return Err(SettingError::shown(
            "SCOPES",
            value,
            "they must be ASCII words separated by spaces",
        ));
    }
    Ok(scopes)
}

fn sessions(redis: Option<String>, database: Option<String>) -> Result<Sessions, SettingError> {
    match (redis, database) {
        (None, None) => Ok(Sessions::Memory),
        (Some(redis), Some(_)) => Err(SettingError::masked(
            "REDIS_URL",
            &redis,
            "set REDIS_URL or DATABASE_URL, not both",
        )),
        (Some(redis), None) => match Url::parse(&redis) {
            Ok(url) if url.scheme() == "redis" && url.host().is_some() => {
                Ok(Sessions::Redis(redis))
            }
            _ => Err(SettingError::masked("REDIS_URL", &redis, "it must be redis://host:port")),
        },
        (None, Some(database)) => match Url::parse(&database) {
            Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") && url.has_host() => {
                Ok(Sessions::Postgres(database))
            }
            _ if database.starts_with("sqlite:") => Ok(Sessions::Sqlite(database)),
            _ => Err(SettingError::masked(
                "DATABASE_URL",
                &database,
                "it must be postgres://host/name or sqlite:path",
            )),
        },
    }
}

/// On or off. Whoever writes `false` means off, and is not to get on.
fn switch(variable: &'static str, value: Option<&str>) -> Result<bool, SettingError> {
    match value {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(value) => Err(SettingError::shown(variable, value, "it must be 1 or 0")),
    }
}

fn static_dir(value: String) -> Result<PathBuf, SettingError> {
    let dir = PathBuf::from(&value);
    let rule = "it must be a directory that has an index.html";
    has_index(&dir).then_some(dir).ok_or_else(|| SettingError::shown("STATIC_DIR", &value, rule))
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}
