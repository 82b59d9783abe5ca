//! What of a request's headers goes on to the upstream, and what stays here.

use std::net::{IpAddr, SocketAddr};

use super::{
    super::{cookies::CookieNames, settings::BaseUrl},
    answer::remove_all,
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
const HOP_BY_HOP: [HeaderName; 8] = [
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
const NOT_THE_BROWSERS: [HeaderName; 9] = [
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
/// request came to them.
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
        remove_hop_by_hop(headers);
        for name in &NOT_THE_BROWSERS {
            headers.remove(name);
        }
        remove_all(headers, is_for_proxies);
        cookies::drop_ours_sent(self.names, headers);
        headers.insert(FORWARDED_HOST, self.host.clone());
        headers.insert(FORWARDED_PROTO, self.proto.clone());
        let ip = peer.ip().to_canonical();
        let by = |text: String| HeaderValue::try_from(text).expect("an address is ASCII");
        headers.insert(FORWARDED_FOR, by(ip.to_string()));
        let forwarded = match ip {
            IpAddr::V4(ip) => format!("for={ip}{}", self.forwarded),
            IpAddr::V6(ip) => format!("for=\"[{ip}]\"{}", self.forwarded),
        };
        headers.insert(header::FORWARDED, by(forwarded));
    }
}

/// Any name of these may be one that a proxy in front of the upstream gives a meaning.
fn is_for_proxies(name: &str) -> bool {
    // CGI and its heirs read `-` and `_` alike, so `x_forwarded_for` would pass for
    // `x-forwarded-for`.
    name.contains('_') || OF_PROXIES.iter().any(|begin| name.starts_with(begin))
}

pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if let Entry::Occupied(named) = headers.entry(header::CONNECTION) {
        let (_, named) = named.remove_entry_mult();
        let names: Vec<HeaderName> = named
            .flat_map(|line| {
                let names = line.as_bytes().split(|byte| *byte == b',');
                names
                    .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        for name in names {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
