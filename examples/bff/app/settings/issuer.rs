//! `ISSUER_URL` and `ALLOW_HTTP_ISSUER`: the provider, and whether plain http to it will do.

use url::{Host, Url};

use super::{SettingError, has_credentials};

/// The issuer as given, and its host if tokens are to travel to it unencrypted.
pub(super) fn parse(
    value: String,
    by_http: bool,
) -> Result<(String, Option<String>), SettingError> {
    let broken = |rule| SettingError::shown("ISSUER_URL", &value, rule);
    let url = Url::parse(&value).map_err(|_| broken("it must be an absolute URL"))?;
    let loopback = match url.host() {
        None => return Err(broken("it must have a host")),
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    let http_to = match url.scheme() {
        "https" => None,
        "http" if loopback => None,
        "http" if by_http => url.host_str().map(str::to_owned),
        "http" => {
            return Err(broken(
                "plain http is allowed for loopback only, as tokens would travel unencrypted; ALLOW_HTTP_ISSUER=1 allows it",
            ));
        }
        _ => return Err(broken("it must be https, or http to loopback")),
    };
    if has_credentials(&url) || url.query().is_some() || url.fragment().is_some() {
        return Err(broken("it must have no user name, query or fragment"));
    }
    Ok((value, http_to))
}
