//! [`ClientCertificate`]: what the default transport shows of this client (RFC 8705, section 2).

use std::sync::Arc;

use rustls_pki_types::pem::{PemObject, SectionKind};
use secrecy::zeroize::Zeroizing;

use crate::ConfigError;

/// A certificate with its chain and its private key, in PEM. Deliberately without `Debug`.
#[derive(Clone)]
pub(in crate::endpoint) struct ClientCertificate(Arc<Zeroizing<Vec<u8>>>);

impl ClientCertificate {
    pub(in crate::endpoint) fn new(pem: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(pem)))
    }

    /// Both parts must be there; whether they belong together shows when the transport is built.
    pub(in crate::endpoint) fn check(&self) -> Result<(), ConfigError> {
        let (mut certificate, mut keys) = (false, 0);
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&self.0) {
            // Deliberately without its error, which may quote a line.
            let (kind, _der) = section.map_err(|_| broken("its PEM is broken"))?;
            match kind {
                SectionKind::Certificate => certificate = true,
                SectionKind::PrivateKey
                | SectionKind::RsaPrivateKey
                | SectionKind::EcPrivateKey => keys += 1,
                _ => {}
            }
        }
        match (certificate, keys) {
            (true, 1) => Ok(()),
            (false, _) => Err(broken("there is no certificate in PEM")),
            (true, 0) => Err(broken("there is no private key in PEM")),
            (true, _) => Err(broken("there is more than one private key")),
        }
    }

    #[cfg(feature = "rustls")]
    pub(in crate::endpoint) fn identity(&self) -> Result<reqwest::Identity, ConfigError> {
        // Deliberately without reqwest's error, which may quote a line.
        reqwest::Identity::from_pem(&self.0).map_err(|_| broken("its PEM is broken"))
    }
}

pub(in crate::endpoint) fn broken(rule: &str) -> ConfigError {
    ConfigError::Credential { what: "the client certificate".into(), rule: rule.into() }
}
