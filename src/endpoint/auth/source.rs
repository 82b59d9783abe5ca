//! Where a secret or a key comes from: it is fixed, in a file, or asked of the application.
//!
//! | source | read | if that fails |
//! |---|---|---|
//! | a value | never again | |
//! | a file | for each request, and once at build | the last good content, and a warning; without one, an error |
//! | a function | for each request | an error |
//!
//! An error here means that the request was not sent, so it may be tried again.

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use self::file::{File, FileError};
use super::{SigningAlgorithm, SigningKey};
use crate::{ConfigError, endpoint::transport::BoxError};

mod file;

/// Where a client secret comes from, or a token that another provider has issued to this workload.
///
/// A `&str` or a `String` is one that stays. [`file`](Self::file) and [`from_fn`](Self::from_fn) are
/// for secrets that change while the application runs.
///
/// ```
/// use tower_token_refresh::{ClientAuth, SecretSource};
///
/// let fixed = ClientAuth::basic("my-app", "s3cret");
/// let mounted = ClientAuth::basic("my-app", SecretSource::file("/run/secrets/oauth"));
/// let asked = ClientAuth::basic("my-app", SecretSource::from_fn(async || ask_the_vault().await));
/// # async fn ask_the_vault() -> Result<String, std::io::Error> { Ok("s3cret".into()) }
/// ```
#[derive(Clone)]
pub struct SecretSource(Source<SecretString>);

/// Where a [`SigningKey`] comes from. A `SigningKey` is one that stays.
///
/// ```
/// use tower_token_refresh::{ClientAuth, SigningAlgorithm, SigningKeySource};
///
/// let key = SigningKeySource::file("/run/secrets/key.pem", SigningAlgorithm::Es256);
/// let auth = ClientAuth::private_key_jwt("my-app", key);
/// ```
#[derive(Clone)]
pub struct SigningKeySource(Source<SigningKey>);

enum Source<T> {
    Fixed(Arc<T>),
    File(Arc<File<T>>),
    Asked(Arc<Ask<T>>),
}

type Ask<T> = dyn Fn() -> BoxFuture<'static, Result<T, SourceError>> + Send + Sync;

/// Why a secret or a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("the secret is empty")]
    Empty,
    #[error("the file {path:?} cannot be used: {rule}")]
    File { path: PathBuf, rule: FileError },
    #[error("the application's function failed")]
    Asked(#[source] BoxError),
    #[error("reading the file was interrupted")]
    Interrupted,
}

impl SecretSource {
    /// Reads the secret from a file for each request, so that a new one is used as soon as it is
    /// there. Line ends after it are not part of it. At most 64 KiB.
    ///
    /// Building the refresher reads it once, so that a wrong path is found at once. If it cannot be
    /// read later, or is empty, the last good secret is used and the log has a warning.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(Arc::new(File::new(path.into(), secret_in))))
    }

    /// Asks `ask` for each request. It should keep its answer for a while if asking is slow: the
    /// request waits for it, at most as long as for the provider.
    ///
    /// Its error is logged and becomes the source of a [`RefreshError`](crate::RefreshError), so it
    /// must not show the secret.
    pub fn from_fn<F, Fut, E>(ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Source::asked(ask, |secret| {
            if secret.is_empty() { Err(SourceError::Empty) } else { Ok(SecretString::from(secret)) }
        }))
    }

    pub(super) async fn get(&self) -> Result<Arc<SecretString>, SourceError> {
        self.0.get().await
    }

    /// Finds an empty secret, or a file that cannot be used. Reads the file on this thread.
    pub(super) fn check(&self, what: &'static str) -> Result<(), ConfigError> {
        match &self.0 {
            Source::Fixed(secret) if secret.expose_secret().is_empty() => {
                Err(ConfigError::Range { what, value: "empty".into(), rule: "must not be empty" })
            }
            source => source.check(what),
        }
    }
}

impl SigningKeySource {
    /// Reads the key from a file for each request, as [`SigningKey::from_pem`] does, or as
    /// [`SigningKey::from_jwk`] if it begins with a brace. It is parsed again only if it has
    /// changed.
    ///
    /// What is said of [`SecretSource::file`] is true here, too. A new key has another `kid`: a JWK
    /// brings it, and a PEM text with a certificate brings `x5t#S256`. For anything else use
    /// [`from_fn`](Self::from_fn).
    pub fn file(path: impl Into<PathBuf>, algorithm: SigningAlgorithm) -> Self {
        Self(Source::File(Arc::new(File::new(path.into(), move |text| {
            let is_json = text.trim_ascii_start().starts_with(b"{");
            let key = if is_json {
                SigningKey::from_jwk(text, algorithm)
            } else {
                SigningKey::from_pem(text, algorithm)
            };
            key.map_err(|error| match error {
                ConfigError::Credential { rule, .. } => rule,
                other => other.to_string(),
            })
        }))))
    }

    /// Asks `ask` for each request; see [`SecretSource::from_fn`]. It should keep the key, because
    /// parsing one costs as much as a signature.
    pub fn from_fn<F, Fut, E>(ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<SigningKey, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Source::asked(ask, Ok))
    }

    pub(in crate::endpoint) async fn get(&self) -> Result<Arc<SigningKey>, SourceError> {
        self.0.get().await
    }

    pub(in crate::endpoint) fn check(&self, what: &'static str) -> Result<(), ConfigError> {
        self.0.check(what)
    }
}

impl<T: Send + Sync + 'static> Source<T> {
    fn asked<F, Fut, A, E>(ask: F, parse: fn(A) -> Result<T, SourceError>) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: 'static,
        E: Into<BoxError>,
    {
        Self::Asked(Arc::new(move || {
            let answer = ask();
            Box::pin(async move {
                parse(answer.await.map_err(|error| SourceError::Asked(error.into()))?)
            })
        }))
    }

    async fn get(&self) -> Result<Arc<T>, SourceError> {
        match self {
            Self::Fixed(value) => Ok(Arc::clone(value)),
            Self::Asked(ask) => ask().await.map(Arc::new),
            Self::File(file) => file.latest().await,
        }
    }

    fn check(&self, what: &'static str) -> Result<(), ConfigError> {
        let Self::File(file) = self else { return Ok(()) };
        file.read().map(|_| ()).map_err(|error| {
            let rule = match &error {
                SourceError::File { rule, .. } => rule.to_string(),
                other => other.to_string(),
            };
            ConfigError::Credential { what: format!("{what} in {:?}", file.path()), rule }
        })
    }
}

/// The secret in a text file.
fn secret_in(text: &[u8]) -> Result<SecretString, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err("it is empty".into()) } else { Ok(SecretString::from(secret)) }
}

impl From<&str> for SecretSource {
    fn from(secret: &str) -> Self {
        secret.to_owned().into()
    }
}

impl From<&String> for SecretSource {
    fn from(secret: &String) -> Self {
        secret.as_str().into()
    }
}

impl From<String> for SecretSource {
    fn from(secret: String) -> Self {
        Self(Source::Fixed(Arc::new(secret.into())))
    }
}

impl From<SigningKey> for SigningKeySource {
    fn from(key: SigningKey) -> Self {
        Self(Source::Fixed(Arc::new(key)))
    }
}

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Fixed(value) => Self::Fixed(Arc::clone(value)),
            Self::File(file) => Self::File(Arc::clone(file)),
            Self::Asked(ask) => Self::Asked(Arc::clone(ask)),
        }
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("a fixed value"),
            Self::File(file) => write!(f, "the file {:?}", file.path()),
            Self::Asked(_) => f.write_str("a function"),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretSource").field(&self.0).finish()
    }
}

impl fmt::Debug for SigningKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeySource").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests;
