//! What a 401 says about the token (RFC 6750, section 3; RFC 9449, section 7.1; RFC 9470).

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use http_auth::parser::ChallengeParser;

use crate::dpop::USE_DPOP_NONCE;

/// The API wants its user to log in again, or by other means (RFC 9470, section 3). It is in the
/// extensions of a response that [`BearerLayer`](crate::BearerLayer) has passed on; send the user to
/// log in with these values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepUp {
    /// `acr_values`: the acceptable authentication context classes, in order, with spaces between
    /// them.
    pub acr_values: Option<String>,
    /// `max_age`: how long ago the user may have logged in, in seconds.
    pub max_age: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Or nothing that can be read.
    BadToken,
    /// Another token of the same kind is no better.
    NoTokenHelps,
    /// The token may be good: the proof lacks the API's nonce.
    UseNonce,
    StepUp(StepUp),
}

impl Challenge {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(WWW_AUTHENTICATE).into_iter();
        let values = values.filter_map(|value| value.to_str().ok());
        let challenges = values.flat_map(|value| ChallengeParser::new(value).map_while(Result::ok));
        let ours = challenges.filter(|one| {
            ["bearer", "dpop"].iter().any(|scheme| one.scheme.eq_ignore_ascii_case(scheme))
        });
        for challenge in ours {
            let param = |name: &str| {
                let mut params = challenge.params.iter();
                let (_, value) = params.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
                Some(value.to_unescaped())
            };
            match param("error").as_deref() {
                Some("insufficient_scope" | "invalid_dpop_proof") => return Self::NoTokenHelps,
                Some(USE_DPOP_NONCE) => return Self::UseNonce,
                Some("insufficient_user_authentication") => {
                    let max_age = param("max_age").and_then(|age| age.parse().ok());
                    return Self::StepUp(StepUp { acr_values: param("acr_values"), max_age });
                }
                _ => {}
            }
        }
        Self::BadToken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(values: &[&'static str]) -> Challenge {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, http::HeaderValue::from_static(value));
        }
        Challenge::of(&headers)
    }

    #[test]
    fn only_what_names_another_reason_is_not_about_the_token() {
        for values in [
            &[][..],
            &["Bearer"],
            &[r#"Bearer realm="api", error="invalid_token", error_description="expired""#],
            &["Basic realm=\"insufficient_scope\""],
            &["nonsense, \"", "Bearer error=invalid_token"],
            &["DPoP algs=\"ES256\""],
            &["DPoP error=\"invalid_token\", algs=\"ES256\""],
        ] {
            assert_eq!(challenge(values), Challenge::BadToken, "{values:?}");
        }
        for values in [
            &[r#"Bearer error="insufficient_scope", scope="orders:write""#][..],
            &["Basic realm=\"x\", bearer Error=insufficient_scope"],
            &["Basic realm=\"x\"", "Bearer realm=\"x\", error=\"insufficient_scope\""],
            &["Bearer, DPoP algs=\"ES256\", error=\"invalid_dpop_proof\""],
        ] {
            assert_eq!(challenge(values), Challenge::NoTokenHelps, "{values:?}");
        }
    }

    #[test]
    fn a_wanted_nonce_is_not_about_the_token() {
        let wanted = r#"DPoP algs="ES256 PS256", error="use_dpop_nonce""#;
        assert_eq!(challenge(&[wanted]), Challenge::UseNonce);
        assert_eq!(challenge(&["Bearer", wanted]), Challenge::UseNonce);
    }

    #[test]
    fn a_step_up_says_what_is_wanted() {
        let wanted = r#"Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="5""#;
        let step_up = StepUp { acr_values: Some("gold silver".into()), max_age: Some(5) };
        assert_eq!(challenge(&[wanted]), Challenge::StepUp(step_up));
        let odd = r#"Bearer error="insufficient_user_authentication", max_age="soon""#;
        let nothing = StepUp { acr_values: None, max_age: None };
        assert_eq!(challenge(&[odd]), Challenge::StepUp(nothing));
    }
}
