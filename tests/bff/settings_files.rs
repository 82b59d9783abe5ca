//! Settings that stand in files: one for all, or one for each secret.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    app::settings::{Settings, table::SECRETS},
    settings::GOOD,
    world::settings_of,
};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("settings-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone_anyway = fs::remove_dir_all::<&Path>(&self.0);
    }
}

fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
    settings_of(variables).map_err(|error| error.to_string())
}

#[test]
fn one_file_holds_all_and_a_variable_counts_more() {
    let folder = Folder::new();
    let file = folder.file(
        "bff.toml",
        r#"
        issuer_url = "https://id.example"
        client_id = "web"
        upstream_url = "http://127.0.0.1:9000"
        allow_http_issuer = false
        scopes = "openid profile"

        [refresh]
        leeway = "10s"
        attempts = 3
        "#,
    );
    let settings = read(&[("CONFIG_FILE", &file)]).unwrap();
    assert_eq!((&*settings.client_id, settings.scopes.len()), ("web", 2));
    assert_eq!(settings.refresh.leeway, Some(Duration::from_secs(10)));
    let more = [("CONFIG_FILE", &*file), ("CLIENT_ID", "shop"), ("REFRESH_LEEWAY", "1m")];
    let settings = read(&more).unwrap();
    assert_eq!((&*settings.client_id, settings.refresh.attempts), ("shop", Some(3)));
    assert_eq!(settings.refresh.leeway, Some(Duration::from_secs(60)));
    assert_eq!(settings.refresh_as_set, "attempts=3, leeway=1m");
}

#[test]
fn what_is_wrong_in_the_file_is_one_line_that_names_the_key() {
    let folder = Folder::new();
    for (text, problem) in [
        ("client = \"web\"", "client is not a setting"),
        ("\"refresh_*\" = \"1\"", "refresh_* is not a setting"),
        ("[refresh]\nleewy = \"10s\"", "unknown field"),
        ("refresh = 1", "refresh must be a table"),
        (
            "[refresh]\nleeway = \"soon\"",
            "refresh.leeway: invalid value string \"soon\", expected a time",
        ),
        ("[refresh]\nqueue = -1", "refresh.queue: invalid"),
        ("client_id = 7", "CLIENT_ID: in CONFIG_FILE it must be a text"),
        ("client_id = ", "CONFIG_FILE"),
        ("\"a\\nb\" = 1", r"a\nb is not a setting"),
        ("[refresh]\n\"a\\nb\" = 1", "unknown field"),
        ("[refresh]\n\"attempts.\" = 3", "unknown field: found `attempts.`"),
        ("[refresh]\n\"\" = 1", "unknown field: found ``"),
    ] {
        let file = folder.file("bff.toml", text);
        let others = GOOD.iter().filter(|(name, _)| *name != "CLIENT_ID" || !text.contains('7'));
        let others = others.copied().chain([("CONFIG_FILE", &*file)]);
        let error = read(&others.collect::<Vec<_>>());
        let error = error.err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(error.contains(problem) && !error.contains('\n'), "{text}: {error}");
        assert!(error.contains("CONFIG_FILE"), "{error}");
    }
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let folder = Folder::new();
    let secret = folder.file("secret", "hunter2\n");
    let settings = read(&[&GOOD[..], &[("CLIENT_SECRET_FILE", &secret)]].concat()).unwrap();
    assert_eq!(settings.client_secret.as_deref(), Some("hunter2"));
    let both = [("CLIENT_SECRET_FILE", &*secret), ("CLIENT_SECRET", "typed")];
    let settings = read(&[&GOOD[..], &both].concat()).unwrap();
    assert_eq!(settings.client_secret.as_deref(), Some("typed"));
    let url = folder.file("url", "redis://:hunter2@r:1");
    let broken = [("REDIS_URL_FILE", &*url), ("DATABASE_URL", "sqlite:x")];
    let error = read(&[&GOOD[..], &broken].concat()).err().expect("refused");
    assert!(!error.contains("hunter2"), "{error}");
}

/// The parser quotes the line that it does not understand, and what stands there may be a secret.
#[test]
fn what_cannot_be_parsed_is_said_without_the_line_that_it_stands_in() {
    let folder = Folder::new();
    let not_closed = "client_id = \"web\"\nclient_secret = \"hunter2\n";
    let twice = "client_secret = \"hunter2\"\nclient_secret = \"hunter2\"";
    let unquoted = "client_secret = hunter2";
    for (text, line, problem) in [
        (not_closed, "line 2, column 25: ", "invalid basic string"),
        (twice, "line 2, column 1: ", "duplicate key `client_secret`"),
        (unquoted, "line 1, column 17: ", "invalid string"),
        ("client_secret \"hunter2\"", "line 1, column 15: ", "expected"),
        ("# äöü\nclient_id = \"äöü\" hunter2", "line 2, column 19: ", "expected newline"),
        (
            "client_secret = \'\'\'hunter2",
            "line 1, column 27: ",
            "invalid multiline literal string",
        ),
    ] {
        let file = folder.file("bff.toml", text);
        let error = read(&[&GOOD[..], &[("CONFIG_FILE", &file)]].concat());
        let error = error.err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(!error.contains("hunter2") && !error.contains('\n'), "{text}: {error}");
        assert!(error.contains(line) && error.contains(problem), "{text}: {error}");
    }
}

/// A password that a platform has not filled in would be no password: sessions in memory, tokens in
/// plain text, a public client.
#[test]
fn a_file_for_a_secret_is_not_empty() {
    let folder = Folder::new();
    for secret in SECRETS {
        for nothing in ["", "\n", " \r\n\t\n"] {
            let (variable, file) = (format!("{secret}_FILE"), folder.file("secret", nothing));
            let error = read(&[&GOOD[..], &[(&*variable, &*file)]].concat());
            let error = error.err().unwrap_or_else(|| panic!("{variable} is taken"));
            assert_eq!(error, format!("{variable} {file:?}: the file is empty"));
        }
    }
    let empty = folder.file("secret", "");
    let both = [("CLIENT_SECRET_FILE", &*empty), ("CLIENT_SECRET", "typed")];
    assert!(read(&[&GOOD[..], &both].concat()).is_ok(), "nobody reads it");
}

#[test]
fn a_wrong_file_is_not_shown() {
    let folder = Folder::new();
    for (variable, text) in
        [("REDIS_URL_FILE", "hunter2"), ("DATABASE_URL_FILE", "password=hunter2\na://b")]
    {
        let file = folder.file("wrong", text);
        let error = read(&[&GOOD[..], &[(variable, &*file)]].concat()).err().expect("refused");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
