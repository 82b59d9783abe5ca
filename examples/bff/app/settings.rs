//! The settings, parsed once. An error names the variable, its value and the rule, in one line, and shows no secret.

use std::{ffi::OsString, fmt};

use axum::http::{Uri, uri::Authority};
use url::{Host, Url};

const BASE_URL: &str = "http://127.0.0.1:8080";
const SCOPES: &str = "openid profile email";

pub struct Settings {
    /// As given: a provider's name is compared character for character.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<String>,
    pub upstream: Upstream,
    pub base: BaseUrl,
    pub listen: String,
    pub scopes: Vec<String>,
    pub sessions: Sessions,
}

/// Where requests are sent on to.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub authority: Authority,
    /// Without a slash at its end.
    pub path: String,
}

/// This application as the browser sees it.
#[derive(Clone, Debug)]
pub struct BaseUrl(Url);

/// Where sessions are kept.
#[derive(Clone)]
pub enum Sessions {
    Memory,
    Redis(String),
    Postgres(String),
    Sqlite(String),
}

#[derive(Debug)]
pub struct SettingError {
    variable: &'static str,
    value: Option<String>,
    rule: &'static str,
}

impl Settings {
    /// Reads what `variable` gives, usually the environment.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingError> {
        let read = |name: &'static str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
            Some(Err(_)) => Err(SettingError { variable: name, value: None, rule: "it is not UTF-8" }),
        };
        let required = |name| {
            read(name)?.ok_or(SettingError {
                variable: name,
                value: None,
                rule: "it is required, but missing or empty",
            })
        };

        let issuer = issuer(required("ISSUER_URL")?)?;
        let client_id = required("CLIENT_ID")?;
        let client_secret = read("CLIENT_SECRET")?;
        let upstream = upstream(&required("UPSTREAM_URL")?)?;
        let base = base(&read("BASE_URL")?.unwrap_or_else(|| BASE_URL.to_owned()))?;
        let listen = listen(read("LISTEN")?, &base)?;
        let scopes = scopes(&read("SCOPES")?.unwrap_or_else(|| SCOPES.to_owned()))?;
        let sessions = sessions(read("REDIS_URL")?, read("DATABASE_URL")?)?;
        Ok(Self { issuer, client_id, client_secret, upstream, base, listen, scopes, sessions })
    }
}

fn issuer(value: String) -> Result<String, SettingError> {
    let broken = |rule| SettingError::shown("ISSUER_URL", &value, rule);
    let url = Url::parse(&value).map_err(|_| broken("it must be an absolute URL"))?;
    let loopback = match url.host() {
        None => return Err(broken("it must have a host")),
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err(broken("plain http is for loopback only: tokens would travel in the open")),
        _ => return Err(broken("it must be https, or http to loopback")),
    }
    if has_credentials(&url) || url.query().is_some() || url.fragment().is_some() {
        return Err(broken("it must have no user name, query or fragment"));
    }
    Ok(value)
}

fn upstream(value: &str) -> Result<Upstream, SettingError> {
    let broken = |rule| SettingError::shown("UPSTREAM_URL", value, rule);
    let url = Url::parse(value).map_err(|_| broken("it must be an absolute URL"))?;
    if url.scheme() != "http" {
        return Err(broken("only http upstreams are supported by this example"));
    }
    if has_credentials(&url) || url.query().is_some() || url.fragment().is_some() {
        return Err(broken("it must have no user name, query or fragment"));
    }
    let uri: Uri = url.as_str().parse().map_err(|_| broken("it must be a URL that HTTP can carry"))?;
    let authority = uri.authority().cloned().ok_or_else(|| broken("it must have a host"))?;
    Ok(Upstream { authority, path: uri.path().trim_end_matches('/').to_owned() })
}

fn base(value: &str) -> Result<BaseUrl, SettingError> {
    let broken = |rule| SettingError::shown("BASE_URL", value, rule);
    let url = Url::parse(value).map_err(|_| broken("it must be an absolute URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(broken("it must be http or https"));
    }
    if has_credentials(&url) || url.query().is_some() || url.fragment().is_some() {
        return Err(broken("it must have no user name, query or fragment"));
    }
    if url.path() != "/" {
        return Err(broken("it must have no path: the cookies are for the whole host"));
    }
    Ok(BaseUrl(url))
}

fn listen(value: Option<String>, base: &BaseUrl) -> Result<String, SettingError> {
    const RULE: &str = "it must be host:port, with a port from 0 to 65535";
    let Some(value) = value else {
        if base.is_https() {
            let rule = "it is required where BASE_URL is https, as TLS ends in front of this application";
            return Err(SettingError { variable: "LISTEN", value: None, rule });
        }
        return Ok(format!("{}:{}", base.0.host_str().unwrap_or_default(), base.port()));
    };
    let host_and_port = value.rsplit_once(':').filter(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok() && (!host.contains(':') || host.starts_with('['))
    });
    match host_and_port {
        Some(_) if value.parse::<Authority>().is_ok_and(|parsed| !parsed.as_str().contains('@')) => Ok(value),
        _ => Err(SettingError::shown("LISTEN", &value, RULE)),
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
            "they must be ASCII words with spaces between them",
        ));
    }
    Ok(scopes)
}

fn sessions(redis: Option<String>, database: Option<String>) -> Result<Sessions, SettingError> {
    match (redis, database) {
        (None, None) => Ok(Sessions::Memory),
        (Some(redis), Some(_)) => Err(SettingError::shown(
            "REDIS_URL",
            &redis,
            "sessions are kept in one place: set REDIS_URL or DATABASE_URL, not both",
        )),
        (Some(redis), None) => match Url::parse(&redis) {
            Ok(url) if url.scheme() == "redis" && url.host().is_some() => Ok(Sessions::Redis(redis)),
            _ => Err(SettingError::shown("REDIS_URL", &redis, "it must be redis://host:port")),
        },
        (None, Some(database)) => match Url::parse(&database) {
            Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") && url.has_host() => {
                Ok(Sessions::Postgres(database))
            }
            _ if database.starts_with("sqlite:") => Ok(Sessions::Sqlite(database)),
            _ => Err(SettingError::shown(
                "DATABASE_URL",
                &database,
                "it must be postgres://host/name or sqlite:path",
            )),
        },
    }
}

impl BaseUrl {
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// As browsers write it in `Origin`.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// Host, and port unless it is the scheme's own.
    pub fn host_and_port(&self) -> &str {
        self.0.authority()
    }

    /// `path` below this URL; `path` begins with a slash.
    pub fn with_path(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    pub fn as_url(&self) -> &Url {
        &self.0
    }

    fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SettingError {
    fn shown(variable: &'static str, value: &str, rule: &'static str) -> Self {
        Self { variable, value: Some(without_secrets(value)), rule }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            // Quoted, so that a line break in it does not make a second line.
            Some(value) => write!(f, "{} {value:?}: {}", self.variable, self.rule),
            None => write!(f, "{}: {}", self.variable, self.rule),
        }
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whatever might be a password is cut out, even of a value that is no URL.
pub fn without_secrets(value: &str) -> String {
    let (value, query) = value.split_at(value.find(['?', '#']).unwrap_or(value.len()));
    let query = if query.is_empty() { "" } else { "?…" };
    let shown = match (value.split_once("://"), value.rsplit_once('@')) {
        (_, None) => value.to_owned(),
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
    };
    shown.chars().take(200).chain(query.chars()).collect()
}
