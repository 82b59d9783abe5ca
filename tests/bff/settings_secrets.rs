//! What an error of the settings does not show.

use crate::{app::settings::masked_url, settings::read};

#[cfg(unix)]
#[test]
fn what_is_not_text_is_not_shown() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    use crate::app::settings::Settings;

    let error = Settings::read(|_| Some(OsString::from_vec(vec![0xff]))).err().expect("refused");
    assert_eq!(error.to_string(), "CONFIG_FILE: it is not UTF-8");
}

#[test]
fn passwords_are_cut_out() {
    for value in [
        "redis://user:hunter2@r:1",
        "hunter2@r",
        "a://b@hunter2@r",
        "x?password=hunter2",
        "x#hunter2",
        "postgres://app:hunter2#x@db/app",
        "redis://:hunter2?x@r",
        "http://u:a@hunter2?c@h",
        "hunter2?x@r",
    ] {
        let shown = read(&[("ISSUER_URL", value)]).err().expect("refused");
        assert!(shown.starts_with("ISSUER_URL \"") && !shown.contains("hunter2"), "{shown}");
    }
    let shown = read(&[("ISSUER_URL", "a://b@hunter2@r")]).err().expect("refused");
    assert_eq!(shown, "ISSUER_URL \"a://…@r\": it must be https, or http to loopback");
}

/// Nobody knows what lies in a secret that is not the URL that it should be.
#[test]
fn a_secret_is_shown_only_as_a_url_whose_password_can_be_found() {
    for unshown in [
        "hunter2",
        "host=db user=app password=hunter2",
        "password=hunter2 sslrootcert=file:///etc/ca.pem",
        "redis://:hunter2",
        "redis://r:1 hunter2",
        "redis://r\nhunter2@r",
        "postgres:hunter2@db",
        "postgres://app:hun/ter2@db/x",
    ] {
        assert_eq!(masked_url(unshown), None);
    }
    for (url, shown) in [
        ("redis://:hunter2@r:1", "redis://…@r:1"),
        ("postgres://a:hunter2@db/x?password=hunter2", "postgres://…@db/x?…"),
        ("mysql://db/x", "mysql://db/x"),
        ("sqlite:/data/bff.db", "sqlite:/data/bff.db"),
    ] {
        assert_eq!(masked_url(url).as_deref(), Some(shown));
    }
}
