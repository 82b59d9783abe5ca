//! Bodies as providers send them.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use secrecy::ExposeSecret;

use super::*;

fn assert_kept(body: &str) -> TokenSet {
    let set = read(body.as_bytes(), true).unwrap_or_else(|not| panic!("{}: {body}", not.error));
    assert_eq!(set.access_token.expose(), "at-2", "{body}");
    let refresh_token = set.refresh_token.as_ref().map(|token| token.expose_secret().to_owned());
    assert_eq!(refresh_token.as_deref(), Some("rt-2"), "{body}");
    set
}

fn unusable(body: &str) -> Unusable {
    read(body.as_bytes(), true).err().unwrap_or_else(|| panic!("usable: {body}"))
}

#[test]
fn one_value_that_is_no_json_does_not_hide_the_others() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for odd in [
        "NaN",
        "-Infinity",
        "1e999",
        "0x3C",
        "01",
        r#""\ud800""#,
        "\"a\nb\"",
        "undefined",
        "'60'",
        r#"{"a":{"b":[NaN]}}"#,
        &*deep,
    ] {
        let before =
            format!(r#"{{"expires_in":{odd},"access_token":"at-2","refresh_token":"rt-2"}}"#);
        assert_eq!(assert_kept(&before).expires_in, None, "{odd}");
        assert_kept(&format!(r#"{{"access_token":"at-2","refresh_token":"rt-2","odd":{odd}}}"#));
        assert_kept(&format!(
            r#"{{"odd":{odd},"data":{{"access_token":"at-2","refresh_token":"rt-2"}}}}"#
        ));
        assert_kept(&format!(
            r#"{{"refresh_token":"rt-1","access_token":"at-2","refresh_token":"rt-2","odd":{odd}}}"#
        ));
        // What is no field of the answer is none of its tokens.
        assert_kept(&format!(
            r#"{{"request":{{"refresh_token":"rt-1"}},"odd":{odd},"note":"\"refresh_token\":\"rt-1\"","access_token":"at-2","refresh_token":"rt-2"}}"#
        ));
        let echo = format!(r#"{{"ok":false,"request":{{"refresh_token":"rt-1"}},"odd":{odd}}}"#);
        assert!(unusable(&echo).refresh_token.is_none(), "{odd}");
        let error = format!(r#"{{"error":"invalid_grant","odd":{odd}}}"#);
        assert_eq!(fields(error.as_bytes()).unwrap()["error"], "invalid_grant");
    }
}

/// The fields of the beginning of a body.
fn cut(body: &str) -> Option<(String, Option<Duration>)> {
    let set = read(body.as_bytes(), false).ok()?;
    Some((set.refresh_token?.expose_secret().to_owned(), set.expires_in))
}

#[test]
fn of_a_cut_body_counts_what_is_whole_if_the_refresh_token_is() {
    let whole = r#"{"access_token":"at-2","refresh_token":"rt-2","expires_in":3600,"x":"y"}"#;
    for end in 0..whole.len() {
        match cut(&whole[..end]) {
            None => assert!(end < whole.find(r#","expires"#).unwrap(), "{end}"),
            Some((token, life)) => {
                assert_eq!(token, "rt-2", "{end}");
                assert!(life.is_none_or(|life| life.as_secs() == 3600), "{end}: {life:?}");
            }
        }
    }
    let form = "access_token=at-2&refresh_token=rt-2&expires_in=3600&x=y";
    for end in 0..form.len() {
        match cut(&form[..end]) {
            None => assert!(end <= form.find("&expires").unwrap(), "{end}"),
            Some((token, life)) => {
                assert_eq!(token, "rt-2", "{end}");
                assert!(life.is_none_or(|life| life.as_secs() == 3600), "{end}: {life:?}");
            }
        }
    }
    assert!(cut("<script>{\"access_token\":\"at-2\",\"refresh_token\":\"rt-2\"").is_none());
}

#[test]
fn a_refresh_token_that_is_not_as_it_was_sent_is_none() {
    for body in [
        &br#"{"access_token":"at","refresh_token":"abc"def"}"#[..],
        b"{\"access_token\":\"at\",\"refresh_token\":\"ab\xFFcd\"}",
        b"access_token=at&refresh_token=ab%FFcd",
    ] {
        for is_whole in [true, false] {
            let token = read(body, is_whole).ok().and_then(|set| set.refresh_token);
            assert!(token.is_none(), "{}", String::from_utf8_lossy(body));
        }
    }
}

/// Many places where something might begin, in one body of the largest size. It takes no time to
/// speak of, where a parse for each place takes half a minute.
#[test]
fn a_hostile_body_is_read_in_one_go() {
    let begin = r#"{"refresh_token":"#.repeat(120);
    let hostile = format!(r#"{{"x":NaN,"y":{begin}{}"#, "[1,".repeat(300_000));
    assert!(unusable(&hostile).refresh_token.is_none());
}

#[test]
fn a_bearer_token_by_any_other_name() {
    for token_type in [
        "",
        r#","token_type":null"#,
        r#","token_type":"""#,
        r#","token_type":"HeaderToken""#,
        r#","token_type":"bearer ""#,
        r#","token_type":"JWT""#,
        r#","token_type":"bot""#,
        r#","token_type":["bearer"]"#,
        r#","token_type":["DPoP","Bearer"]"#,
        r#","token_type":[]"#,
        r#","token_type":7"#,
    ] {
        assert_kept(&format!(r#"{{"access_token":"at-2","refresh_token":"rt-2"{token_type}}}"#));
    }
}

#[test]
fn a_token_that_needs_an_unknown_proof_is_refused_and_one_of_dpop_is_known() {
    for token_type in ["mac", "MAC ", "PoP", "N_A"] {
        let body = format!(r#"{{"access_token":"at-2","token_type":"{token_type}"}}"#);
        let error = unusable(&body).error;
        assert!(matches!(error, TokenSetError::Field { field: "token_type", .. }), "{error}");
    }
    for (token_type, scheme) in [
        (r#""DPoP""#, Scheme::Dpop),
        (r#"" dpop ""#, Scheme::Dpop),
        (r#"["dpop"]"#, Scheme::Dpop),
        (r#"["DPoP", "bearer"]"#, Scheme::Bearer),
        (r#""bot""#, Scheme::Bearer),
    ] {
        let body = format!(
            r#"{{"access_token":"at-2","refresh_token":"rt-2","token_type":{token_type}}}"#
        );
        let set = assert_kept(&body);
        assert_eq!(
            (set.access_token.scheme(), set.lacks_dpop_key()),
            (scheme, scheme == Scheme::Dpop)
        );
    }
}

#[test]
fn an_odd_lifetime_is_read_or_left_out() {
    let life = |value: &str| {
        let body =
            format!(r#"{{"access_token":"at-2","refresh_token":"rt-2","expires_in":{value}}}"#);
        assert_kept(&body).expires_in
    };
    for (value, seconds) in [("60", 60.0), ("\"60\"", 60.0), ("\" 60 \"", 60.0), ("59.5", 59.5)] {
        assert_eq!(life(value), Some(Duration::from_secs_f64(seconds)), "{value}");
    }
    for value in ["0", "-1", "\"0\"", "\" -60 \"", "-0.0", "1e-30"] {
        assert_eq!(life(value), Some(Duration::ZERO), "{value}");
    }
    for value in ["\"\"", "null", "\"soon\"", "[60]", "{}", "true"] {
        assert_eq!(life(value), None, "{value}");
    }
}

#[test]
fn other_fields_of_another_type_are_left_out() {
    for field in [
        r#""id_token":7"#,
        r#""id_token":{}"#,
        r#""id_token":"""#,
        r#""scope":7"#,
        r#""refresh_expires_in":"never""#,
        r#""refresh_token_expires_in":null"#,
    ] {
        let set =
            assert_kept(&format!(r#"{{"access_token":"at-2","refresh_token":"rt-2",{field}}}"#));
        let nothing = set.id_token.is_none() && set.scope.is_none();
        assert!(nothing && set.refresh_expires_in.is_none(), "{field}");
    }
}

#[test]
fn the_tokens_are_found_in_other_places_and_forms() {
    for body in [
        // GitHub, unless it is asked for JSON.
        "access_token=at-2&expires_in=28800&refresh_token=rt-2&scope=&token_type=bearer",
        // TikTok and others.
        r#"{"data":{"access_token":"at-2","refresh_token":"rt-2"},"message":"success"}"#,
        // Slack.
        r#"{"ok":true,"authed_user":{"id":"U1","access_token":"at-2","token_type":"user","refresh_token":"rt-2"}}"#,
        "\u{feff}{\"access_token\":\"at-2\",\"refresh_token\":\"rt-2\"}",
        r#"{"access_token":"at-1","refresh_token":"rt-1","access_token":"at-2","refresh_token":"rt-2"}"#,
    ] {
        assert_kept(body);
    }
}

#[test]
fn an_access_token_of_100_kib_is_read() {
    let token = "a".repeat(100 * 1024);
    let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer"}}"#);
    assert_eq!(read(body.as_bytes(), true).ok().expect("read").access_token.expose(), token);
}

#[test]
fn a_refresh_token_is_kept_whatever_the_access_token_is() {
    for body in [
        r#"{"refresh_token":"rt-2"}"#,
        r#"{"access_token":null,"refresh_token":"rt-2"}"#,
        r#"{"access_token":"","refresh_token":"rt-2"}"#,
        r#"{"access_token":{},"refresh_token":"rt-2"}"#,
        r#"{"access_token":"\u00e4","refresh_token":"rt-2"}"#,
        r#"{"access_token":"at-2","token_type":"mac","refresh_token":"rt-2"}"#,
        r#"{"access_token":"at-2","token_type":["mac"],"refresh_token":"rt-2"}"#,
        r#"{"data":{"refresh_token":"rt-2"}}"#,
        "access_token=&refresh_token=rt-2",
    ] {
        let kept = unusable(body).refresh_token.expect(body);
        assert_eq!(kept.token.expose_secret(), "rt-2", "{body}");
    }
    let with_life = unusable(r#"{"refresh_token":"rt-2","refresh_token_expires_in":"60"}"#);
    assert_eq!(with_life.refresh_token.unwrap().expires_in, Some(Duration::from_secs(60)));
}

#[test]
fn without_any_token_there_is_nothing_to_keep() {
    for body in ["", "{}", "[]", "null", "<html>access_token</html>", r#"{"refresh_token":""}"#] {
        assert!(unusable(body).refresh_token.is_none(), "{body}");
    }
}

#[test]
fn subject_and_sid_are_read_each_by_itself() {
    for (claims, subject, sid) in [
        (r#"{"sub":"alice","sid":"s-1"}"#, Some("alice"), Some("s-1")),
        (r#"{"sub":42,"sid":7}"#, Some("42"), Some("7")),
        (r#"{"sub":["alice"],"sid":"s-1"}"#, None, Some("s-1")),
        (r#"{"sub":"alice","sid":{}}"#, Some("alice"), None),
        (r#"{"sub":"bob","sub":"alice","sid":""}"#, Some("alice"), None),
        (r#"{"sub":1.5,"sid":true}"#, None, None),
        (r#"["alice"]"#, None, None),
    ] {
        for alphabet in [&URL_SAFE_NO_PAD, &URL_SAFE, &STANDARD, &STANDARD_NO_PAD] {
            let token = format!("e30.{}.c2ln", alphabet.encode(claims));
            let set = assert_kept(&format!(
                r#"{{"access_token":"at-2","refresh_token":"rt-2","id_token":"{token}"}}"#
            ));
            assert_eq!((set.subject.as_deref(), set.sid.as_deref()), (subject, sid), "{claims}");
        }
    }
}
