//! What of a request's headers goes on to the upstream, and what stays here.

use std::net::SocketAddr;

use super::{
    super::{cookies::CookieNames, settings::BaseUrl},
    cookies,
};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// About one connection only (RFC 9110, 7.6.1), together with those that `Connection` names.
static HOP_BY_HOP: [HeaderName; 8] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers of the browser's that never reach the upstream, as it could make up anything: who the
/// user is, and where the request comes from. The address that the upstream gets is the one that
/// connects here: the proxy's, where a proxy stands in front. `Expect` is answered here, `Host`
/// follows from the target, and `Authorization` is the token of the login.
static NOT_THE_BROWSERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    // CGI programs would take it for a setting of their own (httpoxy).
    HeaderName::from_static("proxy"),
    HeaderName::from_static("true-client-ip"),
    header::VIA,
    HeaderName::from_static("x-remote-user"),
    HeaderName::from_static("x-rewrite-url"),
];

/// How the names begin under which the usual proxies and clouds say who the user is, and how the
/// request came to them. Sorted, and none is the beginning of another: see `is_for_proxies`.
const OF_PROXIES: [&str; 40] = [
    "akamai-",
    "cf-",
    "client-cert",
    "client-ip",
    "fastly-",
    "fly-",
    "front-end-https",
    "oidc-",
    "remote-",
    "ssl-",
    "tailscale-",
    "wl-proxy-",
    "x-akamai-",
    "x-amzn-",
    "x-apigateway-",
    "x-appengine-",
    "x-arr-",
    "x-auth-",
    "x-authenticated-",
    "x-authentik-",
    "x-azure-",
    "x-client-",
    "x-cluster-client-ip",
    "x-consumer-",
    "x-credential-",
    "x-endpoint-",
    "x-envoy-",
    "x-forwarded",
    "x-goog-",
    "x-http-method",
    "x-method-override",
    "x-ms-client-principal",
    "x-original-",
    "x-originating-ip",
    "x-pomerium-",
    "x-real-ip",
    "x-scheme",
    "x-ssl-",
    "x-vouch-",
    "x-webauth-",
];

/// What this application says of itself.
pub(super) struct Via {
    names: CookieNames,
    host: HeaderValue,
    proto: HeaderValue,
    /// `;host=…;proto=…`
    forwarded: String,
}

impl Via {
    pub(super) fn new(base: &BaseUrl, names: CookieNames) -> Self {
        let (host, proto) = (base.host_and_port(), base.scheme());
        let value = |text| HeaderValue::try_from(text).expect("a parsed URL is ASCII");
        // Quoted, as it may hold a colon (RFC 7239, 4).
        let forwarded = format!(";host=\"{host}\";proto={proto}");
        Self { names, host: value(host), proto: value(proto), forwarded }
    }

    /// The browser's request becomes the upstream's.
    pub(super) fn outbound(&self, headers: &mut HeaderMap, peer: SocketAddr) {
        keep_end_to_end(headers, |name| {
            NOT_THE_BROWSERS.contains(name) || is_for_proxies(name.as_str())
        });
        cookies::drop_ours_sent(self.names, headers);
        headers.insert(FORWARDED_HOST, self.host.clone());
        headers.insert(FORWARDED_PROTO, self.proto.clone());
        let ip = peer.ip().to_canonical();
        let (begin, end) = if ip.is_ipv4() { ("for=", "") } else { ("for=\"[", "]\"") };
        let ip = ip.to_string();
        let by = |text: String| HeaderValue::try_from(text).expect("an address is ASCII");
        headers.insert(header::FORWARDED, by([begin, &ip, end, &self.forwarded].concat()));
        headers.insert(FORWARDED_FOR, by(ip));
    }
}

/// Any name of these may be one that a proxy in front of the upstream gives a meaning.
fn is_for_proxies(name: &str) -> bool {
    // Of sorted texts, the last one before `name` is the only one that can be its beginning.
    let behind = OF_PROXIES.partition_point(|begin| *begin <= name);
    // CGI and its heirs read `-` and `_` alike, so `x_forwarded_for` would pass for
    // `x-forwarded-for`.
    name.contains('_') || OF_PROXIES[..behind].last().is_some_and(|begin| name.starts_with(begin))
}

/// Removes what is about one connection only, and all else that `goes`.
pub(super) fn keep_end_to_end(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    remove_named_by_connection(headers);
    // Each header that is there is looked at. To ask for each one that may be there takes longer
    // than all else that is done to them.
    let is_to_go = |name: &&HeaderName| HOP_BY_HOP.contains(name) || goes(name);
    for name in headers.keys().filter(is_to_go).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

fn remove_named_by_connection(headers: &mut HeaderMap) {
    let Entry::Occupied(lines) = headers.entry(header::CONNECTION) else { return };
    let (_, lines) = lines.remove_entry_mult();
    for line in lines.collect::<Vec<_>>() {
        for name in line.as_bytes().split(|byte| *byte == b',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) {
                headers.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginnings_of_names_can_be_searched() {
        for pair in OF_PROXIES.windows(2) {
            assert!(pair[0] < pair[1] && !pair[1].starts_with(pair[0]), "{pair:?}");
        }
        for begin in OF_PROXIES {
            assert!(is_for_proxies(begin), "{begin}");
            assert!(is_for_proxies(&format!("{begin}zzz")), "{begin}");
            assert!(!is_for_proxies(&begin[..begin.len() - 1]), "{begin}");
        }
    }
}
