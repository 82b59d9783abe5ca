//! Settings from a file or the environment.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

use crate::{
    ConfigError, OnUnavailable, ProviderLimits, RefreshPolicy, endpoint::REQUEST_TIMEOUT,
    policy::A_DAY,
};

/// The times and limits of [`RefreshPolicy`] and [`ProviderLimits`] as a configuration has them,
/// for serde: TOML, JSON, `figment`, `config` and the like.
///
/// ```
/// use tower_token_refresh::{RefreshConfig, TokenEndpoint, TokenRefresher};
/// # use tower_sessions::MemoryStore;
/// # use tower_token_refresh::ClientAuth;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, auth) = (MemoryStore::default(), ClientAuth::none("web"));
/// let config: RefreshConfig = serde_json::from_str(r#"{
///     "leeway": "10s",
///     "request_timeout": "1m 30s",
///     "attempts": 3
/// }"#)?;
/// config.check()?;
///
/// let mut endpoint = TokenEndpoint::new("https://id.example/token", auth).limits(config.limits());
/// // Neither the policy nor the limits have it.
/// if let Some(limit) = config.request_timeout {
///     endpoint = endpoint.request_timeout(limit);
/// }
/// let refresher = TokenRefresher::builder(endpoint, store).policy(config.policy()).build()?;
///
/// // When the server has stopped:
/// refresher.shutdown(config.shutdown_limit()).await?;
///
/// let error = serde_json::from_str::<RefreshConfig>(r#"{ "leewy": "10s" }"#).unwrap_err();
/// assert!(error.to_string().starts_with("unknown field `leewy`, expected one of `leeway`"));
/// # Ok(())
/// # }
/// ```
///
/// Every key may be missing, and then has the default of the setting that it stands for. One that is
/// not in the table is an error.
///
/// | key | value | sets |
/// |---|---|---|
/// | `leeway` | time | [`RefreshPolicy::leeway`] |
/// | `refresh_ahead` | time | [`RefreshPolicy::refresh_ahead`] |
/// | `confirm_after` | time | [`RefreshPolicy::confirm_after`] |
/// | `wait_timeout` | time | [`RefreshPolicy::wait_timeout`] |
/// | `serve_expired_for` | time | [`OnUnavailable::ServeExpired`]; without it, [`OnUnavailable::Refuse`] |
/// | `replay` | true or false | [`RefreshPolicy::replay`] |
/// | `end_after_rejections` | number | [`RefreshPolicy::end_after_rejections`] |
/// | `fallback_lifetime` | time | [`RefreshPolicy::fallback_lifetime`] |
/// | `store_timeout` | time | [`RefreshPolicy::store_timeout`] |
/// | `request_timeout` | time | [`TokenEndpoint::request_timeout`](crate::TokenEndpoint::request_timeout) |
/// | `attempts` | number | [`ProviderLimits::attempts`] |
/// | `concurrent_least`, `concurrent_most` | number | [`ProviderLimits::concurrent`] |
/// | `queue` | number | [`ProviderLimits::queue`] |
/// | `breaker_failures` | number | [`ProviderLimits::breaker_failures`] |
/// | `breaker_first_pause`, `breaker_longest_pause` | time | [`ProviderLimits::breaker_pause`] |
///
/// A time is a number with a unit, or several of them: `500ms`, `60s`, `1m 30s`, `1h`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RefreshConfig {
    /// How long before its expiry an access token counts as expired.
    #[serde(deserialize_with = "time")]
    pub leeway: Option<Duration>,
    /// How long before its expiry an access token is refreshed in the background.
    #[serde(deserialize_with = "time")]
    pub refresh_ahead: Option<Duration>,
    /// How long a cached token is served before its record is read again.
    #[serde(deserialize_with = "time")]
    pub confirm_after: Option<Duration>,
    /// How long a request waits for a refresh.
    #[serde(deserialize_with = "time")]
    pub wait_timeout: Option<Duration>,
    /// For how long an expired token is served while the provider cannot be reached.
    #[serde(deserialize_with = "time")]
    pub serve_expired_for: Option<Duration>,
    /// Whether a refresh token is presented again after a lost answer.
    pub replay: Option<bool>,
    /// After how many answers that may mean a dead refresh token a login ends.
    pub end_after_rejections: Option<u32>,
    /// The life of an access token that does not say how long it lives.
    #[serde(deserialize_with = "time")]
    pub fallback_lifetime: Option<Duration>,
    /// How long one call of the token store may take.
    #[serde(deserialize_with = "time")]
    pub store_timeout: Option<Duration>,
    /// How long one request to the provider may take.
    #[serde(deserialize_with = "time")]
    pub request_timeout: Option<Duration>,
    /// How often one refresh may be sent.
    pub attempts: Option<u32>,
    /// How many token requests may run at once at the least.
    pub concurrent_least: Option<usize>,
    /// How many token requests may run at once at the most.
    pub concurrent_most: Option<usize>,
    /// How many token requests may wait.
    pub queue: Option<usize>,
    /// How many failures in a row open the circuit breaker.
    pub breaker_failures: Option<u32>,
    /// How long the circuit breaker stays open the first time.
    #[serde(deserialize_with = "time")]
    pub breaker_first_pause: Option<Duration>,
    /// How long the circuit breaker stays open at the longest.
    #[serde(deserialize_with = "time")]
    pub breaker_longest_pause: Option<Duration>,
}

impl RefreshConfig {
    /// All keys, in the order of the table: for whoever reads them from the environment.
    pub const KEYS: [&'static str; 17] = [
        "leeway",
        "refresh_ahead",
        "confirm_after",
        "wait_timeout",
        "serve_expired_for",
        "replay",
        "end_after_rejections",
        "fallback_lifetime",
        "store_timeout",
        "request_timeout",
        "attempts",
        "concurrent_least",
        "concurrent_most",
        "queue",
        "breaker_failures",
        "breaker_first_pause",
        "breaker_longest_pause",
    ];

    /// The times that govern a refresh.
    #[must_use]
    pub fn policy(&self) -> RefreshPolicy {
        let usual = RefreshPolicy::default();
        let on_unavailable = match self.serve_expired_for {
            Some(for_at_most) => OnUnavailable::ServeExpired { for_at_most },
            None => usual.on_unavailable,
        };
        RefreshPolicy {
            leeway: self.leeway.unwrap_or(usual.leeway),
            refresh_ahead: self.refresh_ahead.unwrap_or(usual.refresh_ahead),
            confirm_after: self.confirm_after.unwrap_or(usual.confirm_after),
            wait_timeout: self.wait_timeout.unwrap_or(usual.wait_timeout),
            on_unavailable,
            replay: self.replay.unwrap_or(usual.replay),
            end_after_rejections: self.end_after_rejections.unwrap_or(usual.end_after_rejections),
            fallback_lifetime: self.fallback_lifetime.unwrap_or(usual.fallback_lifetime),
            store_timeout: self.store_timeout.unwrap_or(usual.store_timeout),
        }
    }

    /// The limits on the requests to the provider.
    #[must_use]
    pub fn limits(&self) -> ProviderLimits {
        let usual = ProviderLimits::default();
        let (first, longest) = (usual.breaker.first_pause, usual.breaker.longest_pause);
        let (least, most) = (*usual.concurrent.start(), *usual.concurrent.end());
        let (attempts, queue, failures) = (usual.attempts, usual.queue, usual.breaker.failures);
        usual
            .attempts(self.attempts.unwrap_or(attempts))
            .concurrent(
                self.concurrent_least.unwrap_or(least)..=self.concurrent_most.unwrap_or(most),
            )
            .queue(self.queue.unwrap_or(queue))
            .breaker_failures(self.breaker_failures.unwrap_or(failures))
            .breaker_pause(
                self.breaker_first_pause.unwrap_or(first)
                    ..=self.breaker_longest_pause.unwrap_or(longest),
            )
    }

    /// Whether a refresher could be built with it.
    ///
    /// # Errors
    /// A value out of range; the error names the setting, the value and the rule.
    pub fn check(&self) -> Result<(), ConfigError> {
        let outside = match self.request_timeout {
            Some(Duration::ZERO) => Some("it must be longer than 0 s"),
            Some(limit) if limit > A_DAY => Some("it must be at most 1 day"),
            _ => None,
        };
        if let (Some(limit), Some(rule)) = (self.request_timeout, outside) {
            let value = format!("{limit:?}");
            return Err(ConfigError::Range { what: "request_timeout", value, rule });
        }
        self.policy().validate()?;
        self.limits().check()
    }

    /// How long to wait for refreshes at the end: the limit to give
    /// [`shutdown`](crate::TokenRefresher::shutdown). In this time a refresh that was sent has been
    /// answered and its tokens are stored: `request_timeout`, `store_timeout` and 5 s. 30 s by
    /// default.
    #[must_use]
    pub fn shutdown_limit(&self) -> Duration {
        self.policy().mark_deadline(self.request_timeout.unwrap_or(REQUEST_TIMEOUT))
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    deserializer.deserialize_any(Time)
}

struct Time;

impl<'de> Visitor<'de> for Time {
    type Value = Option<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time with its unit, such as \"60s\" or \"1m 30s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let parsed = humantime::parse_duration(text).map(Some);
        parsed.map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    // Some formats know an `Option`.
    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<Self::Value, D::Error> {
        some.deserialize_any(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use figment::{Figment, providers::Serialized};
    use serde_json::{Map, Value, json};

    use super::*;

    fn read(value: Value) -> Result<RefreshConfig, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_the_defaults() {
        let config = read(json!({})).unwrap();
        assert_eq!(config.policy(), RefreshPolicy::default());
        assert_eq!(config.limits(), ProviderLimits::default());
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn each_key_changes_its_setting_and_no_other_is_there() {
        let mut all = Map::new();
        for key in RefreshConfig::KEYS {
            let is_number = ["attempts", "queue"].contains(&key)
                || ["end_after_", "concurrent_", "breaker_failures"]
                    .iter()
                    .any(|of| key.starts_with(of));
            let value = match key {
                "replay" => json!(false),
                _ if is_number => json!(7),
                _ => json!("7s"),
            };
            let config =
                read(json!({ key: value })).unwrap_or_else(|error| panic!("{key}: {error}"));
            let is_changed = config.policy() != RefreshPolicy::default()
                || config.limits() != ProviderLimits::default()
                || config.request_timeout == Some(Duration::from_secs(7));
            assert!(is_changed, "{key}");
            all.insert(key.to_owned(), value);
        }
        assert_eq!(read(all.into()).unwrap().check(), Ok(()));
        let error = read(json!({ "unknown": 1 })).unwrap_err();
        for key in RefreshConfig::KEYS {
            assert!(error.contains(&format!("`{key}`")), "{key} is not in {error}");
        }
        assert_eq!(error.matches('`').count(), 2 * (RefreshConfig::KEYS.len() + 1), "{error}");
    }

    #[test]
    fn the_end_waits_for_a_refresh_that_was_sent() {
        let limit = |value| read(value).unwrap().shutdown_limit();
        assert_eq!(limit(json!({})), Duration::from_secs(15 + 10 + 5));
        let slow = json!({ "request_timeout": "45s", "store_timeout": "20s" });
        assert_eq!(limit(slow), Duration::from_secs(45 + 20 + 5));
    }

    #[test]
    fn times_have_units() {
        let leeway = |text: &str| read(json!({ "leeway": text })).map(|config| config.leeway);
        assert_eq!(leeway("1m 30s"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(leeway("500ms"), Ok(Some(Duration::from_millis(500))));
        assert_eq!(leeway("0s"), Ok(Some(Duration::ZERO)));
        for wrong in ["60", "", "soon", "-1s", "60 parsecs", "99999999999999999999s"] {
            let rule = r#"expected a time with its unit, such as "60s" or "1m 30s""#;
            assert_eq!(leeway(wrong), Err(format!("invalid value: string {wrong:?}, {rule}")));
        }
        let unit = read(json!({ "leeway": 60 })).unwrap_err();
        assert!(unit.starts_with("invalid type: integer `60`, expected a time with its"), "{unit}");
    }

    /// As `figment` hands on an `Option` of the application's own settings.
    #[test]
    fn a_time_that_is_none_is_missing() {
        let own = BTreeMap::from([("leeway", None), ("refresh_ahead", Some("7s"))]);
        let config: RefreshConfig = Figment::from(Serialized::defaults(own)).extract().unwrap();
        assert_eq!((config.leeway, config.refresh_ahead), (None, Some(Duration::from_secs(7))));
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let refused = |value| read(value).unwrap().check().unwrap_err().to_string();
        let long = refused(json!({ "confirm_after": "2h" }));
        assert!(long.starts_with("confirm_after is 7200s: it must be at most 1 h"), "{long}");
        let never = refused(json!({ "request_timeout": "0s" }));
        assert_eq!(never, "request_timeout is 0ns: it must be longer than 0 s");
        let days = refused(json!({ "request_timeout": "2days" }));
        assert_eq!(days, "request_timeout is 172800s: it must be at most 1 day");
        assert_eq!(refused(json!({ "attempts": 11 })), "attempts is 11: must be 1 to 10");
        let crossed = refused(json!({ "concurrent_least": 300 }));
        assert!(crossed.starts_with("concurrent is 300 to 256"), "{crossed}");
    }
}
