//! Random lives against a small model of what strict means.

use std::{collections::HashMap, time::Duration};

use proptest::{collection::vec, prelude::*};
use tower_token_refresh::testing::{ManualClock, StrictIssuer};

use crate::requests::*;

#[derive(Clone, Debug)]
enum Act {
    LogIn,
    /// Presents the token with this index, modulo all there are.
    Refresh(usize),
    Revoke(usize),
    EndSession(usize),
    Advance(u64),
    Script(u8),
    Garbage(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::LogIn),
        8 => any::<usize>().prop_map(Act::Refresh),
        1 => any::<usize>().prop_map(Act::Revoke),
        1 => any::<usize>().prop_map(Act::EndSession),
        2 => (0..40_u64).prop_map(Act::Advance),
        2 => (0..8_u8).prop_map(Act::Script),
        1 => vec(any::<u8>(), 0..64).prop_map(Act::Garbage),
    ]
}

fn script(issuer: &StrictIssuer, which: u8) {
    match which {
        0 => issuer.fail_next(500, "oops"),
        1 => issuer.fail_next_oauth(400, "invalid_grant"),
        2 => issuer.malformed_next(),
        3 => issuer.expires_in_next(0),
        4 => issuer.omit_refresh_token_next(),
        5 => issuer.drop_answer_next(),
        6 => issuer.fail_next_after_processing(502, ""),
        _ => issuer.switch_user_next("mallory"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_life_is_survived_and_reuse_always_ends_the_session(acts in vec(act(), 1..80)) {
        let clock = ManualClock::new();
        let issuer = StrictIssuer::builder()
            .clock(clock.clock())
            .refresh_token_lifetime(Duration::from_secs(100))
            .opaque_access_tokens(true)
            .opaque_refresh_tokens(true)
            .without_id_tokens()
            .build();
        // Every refresh token we hold, with the session it belongs to.
        let mut held: Vec<(String, String)> = Vec::new();
        let mut granted: HashMap<String, usize> = HashMap::new();

        for act in acts {
            let pick = |index: usize| held.get(index % held.len().max(1)).cloned();
            match act {
                Act::LogIn => {
                    let tokens = issuer.log_in("alice");
                    held.push((text(&tokens, "refresh_token").to_owned(), text(&tokens, "session_state").to_owned()));
                }
                Act::Refresh(index) => {
                    let Some((token, sid)) = pick(index) else { continue };
                    let (alive, live) = (issuer.session_alive(&sid), issuer.is_refresh_token_live(&token));
                    let (status, answer) = refresh(&issuer, &token);
                    if status == 200 && answer.get("access_token").is_some() {
                        prop_assert!(live, "only a live token is granted anything");
                        if let Some(new) = answer["refresh_token"].as_str() {
                            *granted.entry(token).or_default() += 1;
                            prop_assert!(issuer.is_refresh_token_live(new));
                            held.push((new.to_owned(), sid));
                        }
                    } else if answer["error_description"] == "Maximum allowed refresh token reuse exceeded" {
                        prop_assert!(alive && !live);
                        prop_assert!(!issuer.session_alive(&sid));
                    }
                }
                Act::Revoke(index) => {
                    let Some((token, sid)) = pick(index) else { continue };
                    prop_assert_eq!(issuer.handle(revoke_request(&issuer, &token)).status(), 200);
                    prop_assert!(!issuer.session_alive(&sid));
                }
                Act::EndSession(index) => {
                    let Some((_, sid)) = pick(index) else { continue };
                    issuer.end_session(&sid);
                    prop_assert!(!issuer.session_alive(&sid));
                }
                Act::Advance(seconds) => clock.advance(Duration::from_secs(seconds)),
                Act::Script(which) => script(&issuer, which),
                Act::Garbage(body) => {
                    let mut request = refresh_request(&issuer, "");
                    *request.body_mut() = body.into();
                    let _ = issuer.handle(request);
                }
            }
            // A dead session has no live token of any kind.
            for (token, sid) in &held {
                prop_assert!(issuer.session_alive(sid) || !issuer.is_refresh_token_live(token));
            }
        }
        prop_assert!(granted.values().all(|&times| times == 1), "a rotated token is granted once");
    }

    #[test]
    fn a_consumed_token_presented_again_ends_the_session_however_many_refreshes_later(
        chain in 1..12_usize,
        reused in any::<prop::sample::Index>(),
    ) {
        let issuer = StrictIssuer::builder().opaque_access_tokens(true).without_id_tokens().build();
        let tokens = issuer.log_in("alice");
        let mut refresh_tokens = vec![text(&tokens, "refresh_token").to_owned()];
        let mut access_tokens = vec![text(&tokens, "access_token").to_owned()];
        for _ in 0..chain {
            let (_, new) = refresh(&issuer, refresh_tokens.last().unwrap());
            refresh_tokens.push(text(&new, "refresh_token").to_owned());
            access_tokens.push(text(&new, "access_token").to_owned());
        }
        prop_assert!(issuer.is_refresh_token_live(refresh_tokens.last().unwrap()));

        let consumed = &refresh_tokens[reused.index(chain)];
        prop_assert_eq!(refresh(&issuer, consumed).0, 400);
        prop_assert!(!issuer.session_alive(text(&tokens, "session_state")));
        prop_assert!(refresh_tokens.iter().all(|token| !issuer.is_refresh_token_live(token)));
        prop_assert!(access_tokens.iter().all(|token| !issuer.is_access_token_live(token)));
    }
}
