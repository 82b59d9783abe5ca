//! What a 401 says about the token (RFC 6750, section 3; RFC 9449, section 7.1; RFC 9470).

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use http_auth::{ChallengeRef, parser::ChallengeParser};

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
    /// `bound`: the token that was refused is bound to a key. What DPoP wants is nothing to others.
    pub(super) fn of(headers: &HeaderMap, bound: bool) -> Self {
        let schemes = if bound { &["bearer", "dpop"][..] } else { &["bearer"] };
        for value in headers.get_all(WWW_AUTHENTICATE) {
            // A quoted string may hold bytes over 0x7F (RFC 9110, section 5.6.4), which the parser
            // takes for the end. Nothing that is read here has any.
            let ascii = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '?' };
            let text: String = value.as_bytes().iter().map(ascii).collect();
            let challenges = ChallengeParser::new(&text).map_while(Result::ok);
            let mut ours = challenges
                .filter(|one| schemes.iter().any(|scheme| one.scheme.eq_ignore_ascii_case(scheme)));
            if let Some(challenge) = ours.find_map(|one| Self::another_reason(&one)) {
                return challenge;
            }
        }
        Self::BadToken
    }

    fn another_reason(challenge: &ChallengeRef<'_>) -> Option<Self> {
        let param = |name: &str| {
            let mut params = challenge.params.iter();
            let (_, value) = params.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            Some(value.to_unescaped())
        };
        match param("error")?.as_str() {
            "insufficient_scope" | "invalid_dpop_proof" => Some(Self::NoTokenHelps),
            USE_DPOP_NONCE => Some(Self::UseNonce),
            "insufficient_user_authentication" => {
                let max_age = param("max_age").and_then(|age| age.parse().ok());
                Some(Self::StepUp(StepUp { acr_values: param("acr_values"), max_age }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(values: &[&str]) -> Challenge {
        challenge_to(true, values)
    }

    fn challenge_to(bound: bool, values: &[&str]) -> Challenge {
        let mut headers = HeaderMap::new();
        for value in values {
            // As Latin-1, which is what most servers mean.
            let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect();
            headers.append(WWW_AUTHENTICATE, http::HeaderValue::from_bytes(&bytes).unwrap());
        }
        Challenge::of(&headers, bound)
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
            &[r#"Bearer realm="Aufträge", error="insufficient_scope""#],
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
    fn what_dpop_wants_is_nothing_to_a_bearer_token() {
        for error in ["use_dpop_nonce", "invalid_dpop_proof"] {
            let wanted = format!(r#"DPoP algs="ES256", error="{error}""#);
            let refused = r#"Bearer error="invalid_token""#;
            assert_eq!(challenge_to(false, &[refused, &wanted]), Challenge::BadToken);
            assert_ne!(challenge_to(true, &[refused, &wanted]), Challenge::BadToken);
        }
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
