use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::token::TokenSet;

const LIFE: Duration = Duration::from_secs(300);

fn keys() -> SealKeys {
    SealKeys::new([7; 32])
}

fn set() -> HeldSet {
    let response = json!({
        "access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "refresh_token": "rt-1", "scope": "openid",
        "refresh_expires_in": 1800,
    });
    let set = TokenSet::from_response(response).expect("a token set");
    HeldSet::first(set, "https://id.example", SystemTime::UNIX_EPOCH + LIFE, LIFE)
}

fn written(set: &HeldSet, keys: Option<&SealKeys>) -> String {
    live(set, keys).expect("written")
}

fn read(text: &str, keys: Option<&SealKeys>) -> Result<Option<HeldSet>, EntryError> {
    Entry::parse(text)?.open(keys)
}

#[track_caller]
fn assert_same(read: Result<Option<HeldSet>, EntryError>, set: &HeldSet) {
    let read = read.expect("it is read").expect("it is live");
    // The plain entry shows every field.
    assert_eq!(written(&read, None), written(set, None));
}

#[test]
fn an_entry_is_read_as_it_was_written_plain_and_sealed() {
    let (set, keys) = (set(), keys());
    assert_same(read(&written(&set, None), None), &set);
    assert_same(read(&written(&set, Some(&keys)), Some(&keys)), &set);
}

#[test]
fn a_plain_entry_is_read_with_keys_and_a_sealed_one_not_without() {
    let (set, keys) = (set(), keys());
    assert_same(read(&written(&set, None), Some(&keys)), &set);
    let shut = read(&written(&set, Some(&keys)), None);
    assert_eq!(shut.expect_err("sealed"), SealError::NoKeys(keys.sealing_id()).into());
    let other = SealKeys::new([8; 32]);
    let shut = read(&written(&set, Some(&keys)), Some(&other));
    assert_eq!(shut.expect_err("sealed"), SealError::UnknownKey(keys.sealing_id()).into());
}

#[test]
fn a_sealed_entry_shows_its_place_and_nothing_else() {
    let (set, keys) = (set(), keys());
    let text = written(&set, Some(&keys));
    let parts: Vec<_> = text.split('.').collect();
    let (grant, id) = (set.grant.to_string(), keys.sealing_id().to_string());
    assert_eq!(parts[..5], ["s2", &grant, "1", "600000", &id]);
    assert_eq!(parts.len(), 6);
    let entry = Entry::parse(&text).expect("an entry");
    assert_eq!((entry.grant, entry.generation()), (set.grant, Some(Generation::FIRST)));
}

/// Every byte of it, each changed to every other one that text may hold.
#[test]
fn a_sealed_entry_with_a_changed_byte_opens_nothing() {
    let (set, keys) = (set(), keys());
    let text = written(&set, Some(&keys));
    for at in 2..text.len() {
        for byte in (b' '..=b'~').filter(|byte| *byte != text.as_bytes()[at]) {
            let mut changed = text.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).expect("ASCII");
            match read(&changed, Some(&keys)) {
                Err(EntryError::Sealed(_)) => {}
                // The place of the dot after the version tells where the version ends.
                Err(EntryError::Version) if at == 2 => {}
                other => panic!("byte {at} changed to {:?}: {other:?}", char::from(byte)),
            }
        }
    }
}

#[test]
fn a_payload_opens_neither_in_another_grant_nor_generation_nor_expiry() {
    let keys = keys();
    let first = set();
    let mut second = set();
    second.grant = first.grant;
    second.generation = first.generation.next();
    let mut later = set();
    later.grant = first.grant;
    later.expires_at += LIFE;
    let payload = |text: &str| text.rsplit_once('.').expect("a payload").1.to_owned();
    let head = |text: &str| text.rsplit_once('.').expect("a payload").0.to_owned();
    let moved_from = written(&first, Some(&keys));
    for other in [set(), second, later] {
        let moved_to = written(&other, Some(&keys));
        let swapped = format!("{}.{}", head(&moved_to), payload(&moved_from));
        let error = read(&swapped, Some(&keys)).expect_err("bound to its place");
        assert_eq!(error, SealError::Changed(keys.sealing_id()).into());
    }
}

#[test]
fn a_mark_says_who_handed_an_entry_out_and_leaves_the_version() {
    let (set, keys) = (set(), keys());
    let mark = GuardMark::next();
    for stored in [written(&set, None), written(&set, Some(&keys)), tombstone(set.grant)] {
        let mut text = stored.clone();
        mark_guarded(&mut text, mark);
        assert_ne!(text, stored);
        let entry = Entry::parse(&text).expect("an entry");
        assert_eq!((entry.guard, entry.grant), (Some(mark), set.grant));
        assert_eq!(
            entry.open(Some(&keys)).expect("read").is_some(),
            Entry::parse(&stored).expect("an entry").generation().is_some()
        );
        // A second mark changes nothing: only the store's own entries are marked.
        mark_guarded(&mut text, GuardMark::next());
        assert_eq!(Entry::parse(&text).expect("an entry").guard, Some(mark));
        unmark_guarded(&mut text);
        assert_eq!(text, stored);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(tail in ".{0,200}", version in "([sA-Z][12]\\.)?", grant: u128, generation: u64) {
        let keys = keys();
        for text in [format!("{version}{tail}"), format!("{version}{grant:032x}.{generation}.7.{tail}")] {
            for keys in [None, Some(&keys)] {
                if let Err(error) = read(&text, keys) {
                    prop_assert!(tail.len() < 8 || !error.to_string().contains(&tail), "{error}");
                }
            }
            let (mut marked, mut unmarked) = (text.clone(), text);
            mark_guarded(&mut marked, GuardMark::next());
            unmark_guarded(&mut unmarked);
        }
    }
}
