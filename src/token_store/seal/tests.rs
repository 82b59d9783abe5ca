use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use proptest::prelude::*;

use super::*;

const HEAD: &str = "1 key live 1";

fn sealed_by(keys: &SealKeys, payload: &str) -> String {
    keys.seal(HEAD, payload.to_owned()).expect("sealed")
}

fn opened(keys: &SealKeys, head: &str, sealed: &str) -> Result<String, SealError> {
    let payload = SealKeys::open_with(Some(keys), head, sealed)?;
    Ok(String::from_utf8(payload.to_vec()).expect("text"))
}

fn id_of(keys: &SealKeys) -> KeyId {
    keys.sealing.id
}

#[test]
fn what_is_sealed_is_text_that_names_its_key_and_does_not_show_the_payload() {
    let keys = SealKeys::new([7; KEY_BYTES]);
    let text = sealed_by(&keys, "a payload");
    let (id, sealed) = text.split_once('.').expect("a key id");
    assert_eq!(id, id_of(&keys).to_string());
    let is_text = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!(sealed.bytes().all(is_text), "{sealed}");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).expect("base64url");
    assert_eq!(bytes.len(), NONCE_LEN + "a payload".len() + AES_256_GCM_SIV.tag_len());
    assert!(!bytes.windows(4).any(|bytes| bytes == b"load"), "the payload lies there as it is");
}

#[test]
fn two_seals_of_one_payload_differ() {
    let keys = SealKeys::new([7; KEY_BYTES]);
    assert_ne!(sealed_by(&keys, "a payload"), sealed_by(&keys, "a payload"));
}

#[test]
fn the_first_key_seals_and_all_of_them_open() {
    let old = SealKeys::new([1; KEY_BYTES]);
    let ring = SealKeys::new([2; KEY_BYTES]).also_open([1; KEY_BYTES]).also_open([3; KEY_BYTES]);
    assert_eq!(id_of(&ring), id_of(&SealKeys::new([2; KEY_BYTES])));

    assert_eq!(opened(&ring, HEAD, &sealed_by(&old, "old")).as_deref(), Ok("old"));
    let by_ring = sealed_by(&ring, "new");
    assert_eq!(opened(&ring, HEAD, &by_ring).as_deref(), Ok("new"));
    assert_eq!(opened(&old, HEAD, &by_ring), Err(SealError::UnknownKey(id_of(&ring))));
    let without_keys = SealKeys::open_with(None, HEAD, &by_ring).map(|_| ());
    assert_eq!(without_keys, Err(SealError::NoKeys(id_of(&ring))));
}

#[test]
fn nothing_opens_under_another_head_or_another_keys_id() {
    let ring = SealKeys::new([2; KEY_BYTES]).also_open([1; KEY_BYTES]);
    let (id, older) = (id_of(&ring), ring.older[0].id);
    let sealed = sealed_by(&ring, "a payload");
    assert_eq!(opened(&ring, "1 key live 2", &sealed), Err(SealError::Changed(id)));
    let renamed = sealed.replace(&id.to_string(), &older.to_string());
    assert_eq!(opened(&ring, HEAD, &renamed), Err(SealError::Changed(older)));
}

#[test]
fn a_byte_changed_anywhere_opens_nothing() {
    let keys = SealKeys::new([7; KEY_BYTES]);
    let sealed = sealed_by(&keys, "a payload");
    for at in 0..sealed.len() {
        for byte in [b'0', b'A', b'.', b'~'] {
            if sealed.as_bytes()[at] == byte {
                continue;
            }
            let mut changed = sealed.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(opened(&keys, HEAD, &changed).is_err(), "{changed}");
        }
    }
}

#[test]
fn keys_come_from_base64_of_either_alphabet_with_and_without_padding() {
    // Bytes that make the two alphabets differ.
    let key = [0xfb; KEY_BYTES];
    let id = id_of(&SealKeys::new(key));
    let texts = [
        BASE64_STANDARD.encode(key),
        BASE64_STANDARD.encode(key).replace('=', ""),
        BASE64_URL_SAFE.encode(key),
        BASE64_URL_SAFE_NO_PAD.encode(key),
        format!(" {}\n", BASE64_STANDARD.encode(key)),
    ];
    for text in texts {
        assert_eq!(id_of(&SealKeys::from_base64(&text).expect("a key")), id, "{text}");
    }
    let two =
        format!("{}, {}", BASE64_STANDARD.encode([1; KEY_BYTES]), BASE64_STANDARD.encode(key));
    let ring = SealKeys::from_base64(&two).expect("two keys");
    assert_eq!(id_of(&ring), id_of(&SealKeys::new([1; KEY_BYTES])));
    assert_eq!(ring.older.iter().map(|key| key.id).collect::<Vec<_>>(), [id]);
}

#[test]
fn a_text_that_gives_no_keys_names_the_rule_and_not_the_text() {
    let good = BASE64_STANDARD.encode([1; KEY_BYTES]);
    let secret = "hunter2-hunter2";
    let cases = [
        (String::new(), SealKeysError::Length { position: 1, bytes: 0 }),
        (
            BASE64_STANDARD.encode(secret),
            SealKeysError::Length { position: 1, bytes: secret.len() },
        ),
        (BASE64_STANDARD.encode([9; 33]), SealKeysError::Length { position: 1, bytes: 33 }),
        (format!("{good},"), SealKeysError::Length { position: 2, bytes: 0 }),
        (format!("{good},{secret}!"), SealKeysError::Base64 { position: 2 }),
        ("+_+_".into(), SealKeysError::Base64 { position: 1 }),
    ];
    for (text, rule) in cases {
        let error = SealKeys::from_base64(&text).expect_err("refused");
        assert_eq!(error, rule);
        let printed = format!("{error} {error:?}");
        assert!(
            !printed.contains(secret) && !printed.contains(&BASE64_STANDARD.encode(secret)),
            "{printed}"
        );
        assert!(printed.contains("seal key"), "{printed}");
    }
}

#[test]
fn a_printed_ring_shows_the_ids_and_no_key() {
    let ring = SealKeys::new([0x41; KEY_BYTES]).also_open([0x42; KEY_BYTES]);
    let printed = format!("{ring:?} {ring:#?}");
    assert!(printed.contains(&id_of(&ring).to_string()), "{printed}");
    for key in [[0x41; KEY_BYTES], [0x42; KEY_BYTES]] {
        let plain = String::from_utf8(key.to_vec()).expect("ASCII");
        for form in
            [BASE64_STANDARD.encode(key), BASE64_URL_SAFE.encode(key), plain, format!("{key:?}")]
        {
            assert!(!printed.contains(&form), "{printed}");
        }
    }
}

#[test]
fn a_keys_id_is_no_part_of_it() {
    let mut key = [0; KEY_BYTES];
    key.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
    let KeyId(id) = id_of(&SealKeys::new(key));
    assert!(!key.windows(id.len()).any(|part| part == id));
}

proptest! {
    #[test]
    fn what_is_sealed_opens_under_its_head(key: [u8; KEY_BYTES], head in ".{0,80}", payload in ".{0,400}") {
        let keys = SealKeys::new(key);
        let sealed = keys.seal(&head, payload.clone()).expect("sealed");
        prop_assert_eq!(opened(&keys, &head, &sealed), Ok(payload));
    }

    #[test]
    fn any_text_is_refused_and_none_panics(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let keys = SealKeys::new([7; KEY_BYTES]);
        let id = id_of(&keys);
        for sealed in [text.clone(), BASE64_URL_SAFE_NO_PAD.encode(bytes)] {
            prop_assert!(opened(&keys, HEAD, &sealed).is_err());
            let error = opened(&keys, HEAD, &format!("{id}.{sealed}")).expect_err("refused");
            prop_assert!(matches!(error, SealError::Malformed | SealError::Changed(_)), "{error}");
        }
        prop_assert!(KeyId::parse(&text).is_none_or(|id| id.to_string() == text));
    }

    #[test]
    fn any_text_of_keys_gives_keys_or_an_error(text in "[A-Za-z0-9+/=_, -]{0,120}") {
        if let Err(error) = SealKeys::from_base64(&text) {
            prop_assert!(error.to_string().starts_with("seal key "));
        }
    }
}
