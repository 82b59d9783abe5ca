//! TLS to Redis.

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// redis-rs takes its cryptography from the process's default, and panics where there is none. What
/// the application has chosen stays.
pub(super) fn provide_cryptography(urls: &[&str]) {
    let is_needed = urls.iter().any(|url| url.starts_with("rediss:"));
    if is_needed && CryptoProvider::get_default().is_none() {
        // Refused only where another thread was faster; either is right.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}
