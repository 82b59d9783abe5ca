//! Which hosts are this machine.

use std::net::IpAddr;

/// Whether what is sent to `host` stays on this machine: `localhost`, 127.0.0.0/8 and `::1`, with or
/// without brackets.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
