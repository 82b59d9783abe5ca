//! What of a message's headers goes on, and what stays here.

use std::net::{IpAddr, SocketAddr};

use super::super::{cookies::CookieNames, settings::BaseUrl};
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

/// Headers of the browser's that never reach the upstream, as it could make up anything. The
/// address that the upstream gets is the one that connects here: the proxy's, where a proxy stands
/// in front. `Expect` is answered here, `Host` follows from the target, and `Authorization` is the
/// token of the login.
const NOT_THE_BROWSERS: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-original-url"),
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
        self.drop_our_cookies(headers);
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

    /// The upstream's answer becomes the browser's. It may set cookies, but none of ours.
    pub(super) fn inbound(&self, headers: &mut HeaderMap) {
        remove_hop_by_hop(headers);
        if !headers.contains_key(header::SET_COOKIE) {
            return;
        }
        if let Entry::Occupied(lines) = headers.entry(header::SET_COOKIE) {
            let (_, lines) = lines.remove_entry_mult();
            let kept: Vec<_> = lines.filter(|line| self.is_harmless(line)).collect();
            for line in kept {
                headers.append(header::SET_COOKIE, line);
            }
        }
    }

    /// The session's cookie is the key to the tokens: the upstream gets the token, and nothing that
    /// would get it the next one.
    fn drop_our_cookies(&self, headers: &mut HeaderMap) {
        let Entry::Occupied(lines) = headers.entry(header::COOKIE) else { return };
        let (_, lines) = lines.remove_entry_mult();
        let mut kept: Vec<u8> = Vec::new();
        for line in lines {
            for pair in line.as_bytes().split(|byte| *byte == b';') {
                let pair = pair.trim_ascii();
                if !pair.is_empty() && !self.is_ours(pair) {
                    if !kept.is_empty() {
                        kept.extend(b"; ");
                    }
                    kept.extend(pair);
                }
            }
        }
        if !kept.is_empty() {
            let value = HeaderValue::try_from(kept).expect("it is made of header values");
            headers.insert(header::COOKIE, value);
        }
    }

    /// Browsers send a cookie without a name back as its value alone, which may then read like one
    /// of ours.
    fn is_harmless(&self, line: &HeaderValue) -> bool {
        let pair = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        let named = pair
            .iter()
            .position(|byte| *byte == b'=')
            .is_some_and(|at| !pair[..at].trim_ascii().is_empty());
        named && !self.is_ours(pair)
    }

    fn is_ours(&self, pair: &[u8]) -> bool {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        std::str::from_utf8(name.trim_ascii()).is_ok_and(|name| self.names.is_ours(name))
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
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
