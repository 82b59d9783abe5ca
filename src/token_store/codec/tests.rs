use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::json;

use super::*;

const KEY: RecordKey = RecordKey::from_bytes([7; 16]);
const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const LIFE: Duration = Duration::from_secs(60);

fn sealing() -> Codec {
    Codec::new(Some(SealKeys::new([1; 32])))
}

fn encoded(codec: &Codec, state: RecordState) -> TokenRecord {
    let tokens = GrantTokens::sample(3, NOW, LIFE);
    codec.encode(KEY, &tokens, state, Nonce::random(), NOW + LIFE).expect("encoded")
}

/// Everything in a set, secrets too.
fn shown(tokens: &GrantTokens) -> String {
    let secret = |it: &Option<SecretString>| it.as_ref().map(|it| it.expose_secret().to_owned());
    let (refresh, id) = (secret(&tokens.refresh_token), secret(&tokens.id_token));
    let times = (tokens.obtained_at, tokens.expires_at, tokens.refresh_expires_at);
    let names = (&tokens.issuer, &tokens.subject, &tokens.sid, &tokens.scope, &tokens.identity);
    let access = tokens.access_token.expose();
    let key = tokens.dpop_key.as_ref().map(DpopKey::to_secret_text);
    let header = tokens.access_token.header().as_bytes();
    format!(
        "{:?} {access} {header:?} {key:?} {refresh:?} {id:?} {times:?} {names:?}",
        tokens.generation
    )
}

fn identity(name: &str) -> Arc<str> {
    json!({ "name": name, "roles": [1, null] }).to_string().into()
}

fn set() -> impl Strategy<Value = GrantTokens> {
    let time = (0..4_000_000_000_000_u64).prop_map(|it| from_millis(it).expect("a time"));
    let text = || prop::option::of(".{0,40}");
    let secrets = ("[!-~]{1,40}", text(), text());
    let names = (".{0,40}", text(), text(), text());
    // None, a key of the refresh token alone, and one of both.
    let bound = prop_oneof![Just((false, false)), Just((true, false)), Just((true, true))];
    (1..u64::MAX, (secrets, bound), names, (time.clone(), time.clone(), prop::option::of(time)))
        .prop_map(
            |(
                generation,
                ((access, refresh, id), (key, is_bound)),
                (issuer, subject, sid, scope),
                times,
            )| GrantTokens {
                generation: Generation(generation),
                access_token: HeaderToken::new(
                    &access,
                    if is_bound { Scheme::Dpop } else { Scheme::Bearer },
                )
                .expect("visible ASCII"),
                dpop_key: key.then(DpopKey::generate),
                refresh_token: refresh.map(SecretString::from),
                id_token: id.map(SecretString::from),
                scope,
                issuer: issuer.into(),
                identity: subject.as_ref().map(|name| identity(name)),
                subject: subject.map(Into::into),
                sid,
                obtained_at: times.0,
                expires_at: times.1,
                refresh_expires_at: times.2,
            },
        )
}

proptest! {
    #[test]
    fn tokens_come_out_of_their_record_as_they_went_in(tokens in set(), seals: bool) {
        let codec = if seals { sealing() } else { Codec::new(None) };
        let nonce = Nonce::random();
        let record = codec.encode(KEY, &tokens, RecordState::Live, nonce, NOW).expect("encoded");
        let read = TokenRecord::from_text(&record.to_text()).expect("a record");
        prop_assert_eq!(&read, &record);
        let opened = codec.open(KEY, &read).expect("opened");
        prop_assert_eq!(shown(&opened), shown(&tokens));
    }
}

#[test]
fn a_sealed_record_opens_beside_the_fields_it_was_written_with_only() {
    let codec = sealing();
    let since = NOW + LIFE;
    let record = encoded(&codec, RecordState::Presenting { since });
    assert!(codec.open(KEY, &record).is_ok());
    let changes: [fn(&mut TokenRecord); 7] = [
        |record| record.state = RecordState::Live,
        |record| record.state = RecordState::Presenting { since: NOW },
        |record| record.generation += 1,
        |record| record.nonce = Nonce::random(),
        |record| record.issuer.push('x'),
        |record| record.expires_at += LIFE,
        |record| record.keep_until += LIFE,
    ];
    for (nth, change) in changes.into_iter().enumerate() {
        let mut changed = record.clone();
        change(&mut changed);
        assert_is_changed(&codec, KEY, &changed, &format!("change {nth}"));
    }
    assert_is_changed(&codec, RecordKey::from_bytes([8; 16]), &record, "another key");
}

fn assert_is_changed(codec: &Codec, key: RecordKey, record: &TokenRecord, what: &str) {
    let error = codec.open(key, record).expect_err(what);
    assert!(matches!(error, CodecError::Sealed(SealError::Changed(_))), "{what}: {error:?}");
}

#[test]
fn plain_records_are_read_with_keys_and_sealed_ones_not_without() {
    let plain = encoded(&Codec::new(None), RecordState::Live);
    assert!(sealing().open(KEY, &plain).is_ok());
    let sealed = encoded(&sealing(), RecordState::Live);
    let error = Codec::new(None).open(KEY, &sealed).expect_err("no keys");
    assert!(matches!(error, CodecError::Sealed(SealError::NoKeys(_))), "{error:?}");
}

#[test]
fn tokens_that_are_none_are_refused_by_rule_and_not_shown() {
    let codec = Codec::new(None);
    let secret = "se cret";
    let payloads = [
        serde_json::json!({}),
        serde_json::json!([secret]),
        serde_json::json!({ "access_token": secret, "obtained_at": 1 }),
        serde_json::json!({ "access_token": "at", "obtained_at": secret }),
        serde_json::json!({ "access_token": "at", "refresh_token": 5, "obtained_at": 1 }),
        serde_json::json!({ "access_token": "", "obtained_at": 1 }),
        serde_json::json!({ "access_token": "at", "is_dpop": true, "obtained_at": 1 }),
        serde_json::json!({ "access_token": "at", "dpop_key": secret, "obtained_at": 1 }),
    ];
    for payload in payloads {
        let mut record = encoded(&codec, RecordState::Live);
        record.payload = Payload::Plain(payload.clone());
        let error = codec.open(KEY, &record).expect_err("refused");
        let is_malformed = matches!(error, CodecError::Record(RecordError::Malformed { .. }));
        assert!(is_malformed, "{payload}: {error:?}");
        assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
    }
}
