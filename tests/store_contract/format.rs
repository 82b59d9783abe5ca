//! How a record is written: what the documentation of `token_store` says, and nothing else is read.

use proptest::prelude::*;
use serde_json::{Value, json};
use tower_token_refresh::token_store::{
    EndingReason, RecordError, RecordState, RecordStateKind, TokenRecord,
};

use crate::records::{KEEP_UNTIL, live, logout, of, presenting, sealed, text};

/// The names of the fields of a record's text.
fn fields(record: &TokenRecord) -> Vec<String> {
    let text: Value = serde_json::from_str(&record.to_text()).expect("JSON");
    text.as_object().expect("an object").keys().cloned().collect()
}

fn rule_of(text: &str) -> &'static str {
    match TokenRecord::from_text(text) {
        Err(RecordError::Malformed { rule }) => rule,
        other => panic!("{other:?} from {text}"),
    }
}

#[test]
fn each_state_has_the_fields_that_are_documented() {
    let always = ["v", "state", "generation", "nonce", "issuer", "expires_at", "keep_until"];
    let of_ending = ["why", "revoke", "with_session"];
    let cases: [(TokenRecord, &[&str]); 4] = [
        (live(3, 1), &["tokens"]),
        (presenting(3, 1), &["tokens", "since"]),
        (sealed(3, 1), &["sealed"]),
        (live(3, 1).ended(&logout()), &of_ending),
    ];
    for (record, more) in cases {
        let mut expected: Vec<_> = always.iter().chain(more).map(ToString::to_string).collect();
        let mut found = fields(&record);
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{:?}", record.state());
    }
}

#[test]
fn a_record_is_written_as_it_was_read() {
    for written in [text(1, 1), text(u64::MAX, u64::MAX)] {
        let read: Value = serde_json::from_str(&of(&written).to_text()).expect("JSON");
        assert_eq!(read, written);
    }
}

#[test]
fn a_version_is_made_of_generation_state_and_nonce() {
    let version = presenting(3, 0xab).version();
    assert_eq!((version.generation, version.state), (3, RecordStateKind::Presenting));
    assert_eq!(version.nonce.to_string(), "00000000000000ab");
    assert_ne!(live(3, 1).version(), presenting(3, 1).version());
    assert_ne!(live(3, 1).version(), live(3, 2).version());
    assert_ne!(live(3, 1).version(), live(4, 1).version());
}

#[test]
fn a_record_of_a_later_release_says_so_whatever_else_it_holds() {
    for later in [json!({ "v": 2 }), json!({ "v": u64::MAX, "state": ["new"] })] {
        let version = later["v"].as_u64().expect("a number");
        let read = TokenRecord::from_text(&later.to_string());
        assert_eq!(read.map(|_| ()), Err(RecordError::NewerVersion { version }));
    }
}

#[test]
fn a_field_that_is_missing_or_wrong_is_refused_by_rule_and_never_shown() {
    let secret = "hunter2";
    let without = |field: &str| {
        let mut text = text(1, 1);
        text.as_object_mut().expect("an object").remove(field);
        text
    };
    let with = |field: &str, value: Value| {
        let mut text = text(1, 1);
        text[field] = value;
        text
    };
    let mut broken: Vec<_> =
        ["v", "state", "generation", "nonce", "issuer", "expires_at", "keep_until", "tokens"]
            .map(without)
            .into();
    broken.extend([
        with("v", 0.into()),
        with("v", secret.into()),
        with("state", secret.into()),
        with("state", "presenting".into()),
        with("state", "ended".into()),
        with("generation", (-1).into()),
        with("generation", secret.into()),
        with("nonce", secret.into()),
        with("nonce", "+00000000000000a".into()),
        with("nonce", "00000000000000000a".into()),
        with("expires_at", secret.into()),
        with("expires_at", (-1).into()),
        with("sealed", secret.into()),
    ]);
    let mut ended = with("state", "ended".into());
    ended["why"] = secret.into();
    broken.push(ended);
    for broken in broken {
        let error = TokenRecord::from_text(&broken.to_string()).expect_err(&broken.to_string());
        assert!(matches!(error, RecordError::Malformed { .. }), "{error:?} from {broken}");
        assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
    }
    assert_eq!(rule_of(secret), rule_of("[]"), "what is no object has no version");
}

#[test]
fn the_reasons_of_endings_are_those_documented() {
    let reasons = [
        (EndingReason::Logout, "logout"),
        (EndingReason::Replaced, "replaced"),
        (EndingReason::FailedLogin, "failed_login"),
        (EndingReason::Provider, "provider"),
        (EndingReason::Expired, "expired"),
        (EndingReason::SubjectChanged, "subject_changed"),
    ];
    for (reason, name) in reasons {
        assert_eq!(reason.name(), name);
        assert_eq!(crate::records::ending(name, 1000).reason, reason);
    }
}

#[test]
fn a_printed_record_shows_no_token() {
    for record in [live(1, 1), presenting(1, 1), sealed(1, 1)] {
        let shown = format!("{record:?} {record:#?}");
        for secret in ["at-1", "rt-1", "c2VhbGVk"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

/// Any record that is written by the rules of the documentation.
fn any_record() -> impl Strategy<Value = Value> {
    let millis = || 0..4_000_000_000_000_u64;
    let state = prop_oneof![Just("live"), Just("presenting"), Just("ended")];
    let why = prop_oneof![
        Just("logout"),
        Just("replaced"),
        Just("failed_login"),
        Just("provider"),
        Just("expired"),
        Just("subject_changed"),
    ];
    let numbers = (any::<u64>(), any::<u64>(), millis(), millis(), millis());
    let tokens = prop::option::of("[ -~]{0,60}");
    (state, why, any::<(bool, bool)>(), numbers, ".{0,60}", tokens, ".{0,60}").prop_map(
        |(
            state,
            why,
            flags,
            (generation, nonce, since, expires_at, kept),
            issuer,
            token,
            sealed,
        )| {
            let mut record = json!({
                "v": 1, "state": state, "generation": generation,
                "nonce": format!("{nonce:016x}"), "issuer": issuer,
                "expires_at": expires_at, "keep_until": kept,
            });
            match (state, token) {
                ("ended", _) => {
                    record["why"] = why.into();
                    record["revoke"] = flags.0.into();
                    record["with_session"] = flags.1.into();
                }
                (_, Some(token)) => record["tokens"] = json!({ "access_token": token }),
                (_, None) => record["sealed"] = sealed.into(),
            }
            if state == "presenting" {
                record["since"] = since.into();
            }
            record
        },
    )
}

proptest! {
    #[test]
    fn any_record_comes_back_from_its_text(written in any_record()) {
        let record = of(&written);
        let text: Value = serde_json::from_str(&record.to_text()).expect("JSON");
        prop_assert_eq!(&text, &written);
        prop_assert_eq!(of(&text), record);
    }

    #[test]
    fn any_record_that_ends_comes_back_from_its_text(written in any_record(), kept in 0..8_000_000_000_u64) {
        let ending = crate::records::ending("provider", kept);
        let ended = of(&written).ended(&ending);
        prop_assert_eq!(of(&serde_json::from_str(&ended.to_text()).expect("JSON")), ended.clone());
        prop_assert_eq!(ended.generation(), of(&written).generation());
        prop_assert!(ended.keep_until() >= of(&written).keep_until().max(ending.keep_until));
        let is_ended = matches!(ended.state(), RecordState::Ended(_));
        prop_assert!(is_ended);
    }

    #[test]
    fn any_text_is_refused_and_none_panics(text in ".{0,200}") {
        let is_malformed =
            matches!(TokenRecord::from_text(&text), Err(RecordError::Malformed { .. }));
        prop_assert!(is_malformed);
    }

    #[test]
    fn any_value_of_any_field_is_read_or_refused_and_none_panics(
        field in "(v|state|generation|nonce|issuer|expires_at|keep_until|tokens|sealed|since|why|revoke)",
        value in prop_oneof![
            any::<u64>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            Just(Value::from(1.5)), ".{0,30}".prop_map(Value::from),
            Just(Value::Null), Just(json!([])), Just(json!({})),
        ],
    ) {
        for state in ["live", "presenting", "ended"] {
            let mut changed = text(1, 1);
            changed["state"] = state.into();
            changed["since"] = KEEP_UNTIL.into();
            changed[&field] = value.clone();
            if let Ok(record) = TokenRecord::from_text(&changed.to_string()) {
                prop_assert_eq!(of(&serde_json::from_str(&record.to_text()).expect("JSON")), record);
            }
        }
    }
}
