//! What senders that were not asked get wrong. Whole answers are in the tests of `exchange`.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use http::HeaderValue;

use super::*;

const MOST: usize = 1000;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn undone(coding: &'static str, body: Vec<u8>) -> Unpacked {
    let headers =
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))]);
    undo(&headers, body.into(), MOST)
}

fn whole(coding: &'static str, body: Vec<u8>) -> Option<Bytes> {
    match undone(coding, body) {
        Unpacked::Whole(whole) => Some(whole),
        Unpacked::BrokeOff(_) | Unpacked::TooLong => None,
    }
}

#[test]
fn what_came_out_before_it_broke_off_is_kept() {
    let mut cut = gzip(b"some text, and some more text that is not the same");
    cut.truncate(cut.len() - 15);
    let Unpacked::BrokeOff(begin) = undone("gzip", cut) else { panic!("it is not whole") };
    assert!(begin.starts_with(b"some text"), "{begin:?}");
}

#[test]
fn what_was_not_packed_stays_as_it_is() {
    let pretty = b"{\n  \"access_token\": \"at\",\n  \"refresh_token\": \"rt\"\n}";
    for coding in ["gzip", "deflate", "gzip, deflate", "br", "", "gzip, gzip, gzip, gzip"] {
        for plain in [&b"{}"[..], pretty] {
            assert_eq!(whole(coding, plain.to_vec()).as_deref(), Some(plain), "{coding}");
        }
    }
}

#[test]
fn a_changed_byte_is_noticed() {
    let packed = gzip(b"refresh_token=new");
    for at in 10..packed.len() - 4 {
        let mut changed = packed.clone();
        changed[at] ^= 1;
        let whole = whole("gzip", changed.clone());
        assert!(whole.is_none_or(|body| *body == changed), "{at}");
    }
}

#[test]
fn all_members_count() {
    let members = [gzip(b"refresh_token=ha"), gzip(b""), gzip(b"lf-of-it"), b"\r\n".to_vec()];
    assert_eq!(whole("gzip", members.concat()).as_deref(), Some(&b"refresh_token=half-of-it"[..]));
    let mut cut = [gzip(b"refresh_token=ha"), gzip(b"lf-of-it")].concat();
    cut.truncate(cut.len() - 9);
    assert!(whole("gzip", cut).is_none(), "half of it is not the whole");
}

#[test]
fn a_form_that_says_deflate_and_is_none_stays_as_it_is() {
    for length in 1..60 {
        let form = format!("refresh_token={}&scope=read", "k7Q".repeat(length));
        assert_eq!(whole("deflate", form.clone().into()).as_deref(), Some(form.as_bytes()));
    }
}

#[test]
fn what_stands_behind_the_end_does_not_matter() {
    for behind in [&b"\r\n"[..], &[0; 8], &[0x1F; 9], &[7; 100]] {
        let padded = [&gzip(b"{}"), behind].concat();
        assert_eq!(whole("gzip", padded).as_deref(), Some(&b"{}"[..]), "{behind:?}");
    }
}

#[test]
fn a_body_that_was_packed_too_often_stays_packed() {
    let thrice = gzip(&gzip(&gzip(b"{}")));
    assert_eq!(whole("gzip, gzip, gzip", thrice.clone()), Some(thrice.into()));
    assert_eq!(whole("gzip, gzip", gzip(&gzip(b"{}"))).as_deref(), Some(&b"{}"[..]));
}

#[test]
fn no_step_gives_more_than_the_limit() {
    for bomb in [gzip(&[0; MOST + 1]), gzip(&gzip(&[0; MOST + 1]))] {
        assert!(matches!(undone("gzip, gzip", bomb), Unpacked::TooLong));
    }
    assert!(whole("gzip", gzip(&[0; MOST])).is_some());
}
