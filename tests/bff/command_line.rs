//! The program's arguments, and what it says of settings before anybody relies on them.

use std::{cell::RefCell, collections::BTreeSet, process::Output};

use support::bff::build;
use tokio::{process::Command, task::spawn_blocking};
use tower_token_refresh::{
    RefreshConfig,
    testing::{IssuerServer, StrictIssuer},
};

use crate::{
    app::{
        arguments::{Command as Asked, help},
        settings::{
            Settings, VARIABLES, misspelt,
            table::{REFRESH, SECRETS},
        },
    },
    database::Database,
    settings::GOOD,
    world::settings_of,
};

const MAIN: &str = include_str!("../../examples/bff/main.rs");
const KEY: &str = "b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0=";

async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let program = spawn_blocking(|| build(&[])).await.expect("it builds");
    let mut command = Command::new(program);
    command.env_clear().args(arguments).envs(settings.iter().copied());
    let Output { status, stdout, stderr } = command.output().await.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// `--check` before this issuer and an API that can be connected to, with more settings.
async fn check(issuer: &str, more: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let api = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let api = (format!("http://{}", api.local_addr().expect("an address")), api);
    let settings = [("ISSUER_URL", issuer), ("CLIENT_SECRET", "secret"), ("UPSTREAM_URL", &api.0)];
    run(&["--check"], &[&GOOD[..], &settings, more].concat()).await
}

async fn issuer() -> IssuerServer {
    StrictIssuer::new().serve().await.expect("a free port")
}

#[test]
fn the_documentation_has_the_table_and_so_has_the_help() {
    let rows: Vec<_> = MAIN.lines().filter(|line| line.starts_with("//! | `")).collect();
    let help = help();
    for variable in &VARIABLES {
        let row = format!("//! | `{}` | {} | {} |", variable.name, variable.default, variable.what);
        assert!(rows.contains(&&*row), "{row}");
        assert!(help.contains(&format!("\n  {} (", variable.name)), "{}", variable.name);
    }
    let name = |row: &&str| row[7..].split('`').next().unwrap_or_default().to_owned();
    let is_variable =
        |name: &String| name.bytes().all(|byte| byte.is_ascii_uppercase() || b"_*".contains(&byte));
    assert_eq!(rows.iter().map(name).filter(is_variable).count(), VARIABLES.len());
}

#[test]
fn what_is_read_is_what_is_in_the_table_and_what_is_shown() {
    let read = RefCell::new(BTreeSet::new());
    let good =
        |name: &str| GOOD.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
    let settings = Settings::read(|name| {
        read.borrow_mut().insert(name.to_owned());
        good(name)
    });
    let named: BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name.to_owned()).collect();
    // All of them are one row of the table, and one of the documentation below it.
    let read = read.into_inner().into_iter().filter_map(|name| match name.strip_suffix("_FILE") {
        Some("CONFIG") => None,
        Some(secret) => SECRETS.contains(&secret).then(|| secret.to_owned()),
        None if is_of_refresh(&name) => Some(REFRESH.to_owned()),
        None => Some(name),
    });
    assert_eq!(read.collect::<BTreeSet<_>>(), named);
    let shown = settings.unwrap().shown();
    assert_eq!(shown.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), named);
}

fn is_of_refresh(name: &str) -> bool {
    let key = name.strip_prefix("REFRESH_").map(str::to_ascii_lowercase);
    key.is_some_and(|key| RefreshConfig::KEYS.contains(&&*key))
}

#[test]
fn no_secret_is_shown() {
    let secret = [
        ("CLIENT_SECRET", "hunter2"),
        ("TOKEN_KEYS", KEY),
        ("INDEX_KEY", KEY),
        ("LOGIN_PARAMS", "audience=hunter2"),
        ("REFRESH_PARAMS", "resource=hunter2"),
        ("REDIS_URL", "redis://:hunter2@r:1"),
    ];
    let shown = settings_of(&[&GOOD[..], &secret].concat()).unwrap().shown();
    let shown: Vec<_> = shown.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = shown.join("\n");
    assert!(!text.contains("hunter2") && !text.contains(KEY), "{text}");
    for line in [
        "CLIENT_SECRET=(set)",
        "LOGIN_PARAMS=audience=…",
        "REDIS_URL=redis://…@r:1",
        "STATIC_DIR=(none)",
    ] {
        assert!(shown.iter().any(|shown| shown == line), "{line} in {text}");
    }
}

#[test]
fn a_name_that_nearly_is_one_of_ours_is_named_with_the_one_that_is() {
    for (name, meant) in [
        ("TOKEN_KEY", "TOKEN_KEYS"),
        ("TOKENKEYS", "TOKEN_KEYS"),
        ("token_keys", "TOKEN_KEYS"),
        ("CLIENT_SECRE", "CLIENT_SECRET"),
        ("UPSTREAM_URI", "UPSTREAM_URL"),
        ("UPSTREAM", "UPSTREAMS"),
        ("BASE_URI", "BASE_URL"),
        ("SCOPE", "SCOPES"),
        ("TOKN_KEY", "TOKEN_KEYS"),
        ("REDIRECT_URL", "BASE_URL"),
        ("ISSUER", "ISSUER_URL"),
        ("REFRESH_LEEWY", "REFRESH_LEEWAY"),
        ("REQUEST_TIMEOUT", "REFRESH_REQUEST_TIMEOUT"),
        ("BREAKER_FIRST_PAUSE", "REFRESH_BREAKER_FIRST_PAUSE"),
        ("CLIENT_SECRET_FILES", "CLIENT_SECRET_FILE"),
    ] {
        let line = format!("{name} is not a setting; did you mean {meant}?");
        assert_eq!(misspelt([name.to_owned()]), [line]);
    }
    for name in ["REFRESH_TIMEOUT", "REFRESH_BREAKER_PAUSE"] {
        let lines = misspelt([name.to_owned()]);
        let [line] = &lines[..] else { panic!("{name}: {lines:?}") };
        let begin = format!("{name} is not a setting; those of this kind are REFRESH_LEEWAY, ");
        assert!(line.starts_with(&begin) && line.ends_with("_LONGEST_PAUSE"), "{line}");
    }
    let ours = VARIABLES.iter().map(|variable| variable.name);
    let ours = ours.filter(|name| *name != REFRESH).map(str::to_owned);
    let others = [
        "PATH",
        "HOME",
        "LISTEN_FDS",
        "LISTEN_PID",
        "SSL_CERT_FILE",
        "RUST_LOG",
        "HOSTNAME",
        "BASE",
        "TOKEN",
        "REPLAY",
        "REFRESHER",
    ];
    let names = ours.chain(others.map(str::to_owned));
    assert_eq!(misspelt(names), [""; 0]);
}

#[test]
fn arguments_are_read() {
    let read = |arguments: &[&str]| Asked::read(arguments.iter().map(|text| (*text).to_owned()));
    assert_eq!(read(&[]), Ok(Asked::Serve));
    assert_eq!(read(&["--check"]), Ok(Asked::Check));
    assert_eq!(read(&["-h"]), Ok(Asked::Help));
    assert!(read(&["--check", "--help"]).is_err());
}

#[tokio::test]
async fn help_needs_no_settings_and_an_unknown_argument_is_one_line() {
    let (code, stdout, stderr) = run(&["--help"], &[]).await;
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &*help(), ""));
    let (code, stdout, stderr) = run(&["--dry-run"], &GOOD).await;
    assert_eq!((code, &*stdout), (Some(2), ""));
    assert_eq!(stderr, "\"--dry-run\": no such argument; --help names them\n");
}

#[tokio::test]
async fn a_check_of_what_works_shows_the_settings_and_starts_nothing() {
    let (issuer, store) = (issuer().await, Database::new());
    let more = [("DATABASE_URL", &*store.url()), ("TOKEN_KEYS", KEY)];
    let (code, stdout, stderr) = check(&issuer.issuer_url(), &more).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains(&format!("ISSUER_URL={}\n", issuer.issuer_url())), "{stdout}");
    assert!(stdout.contains("CLIENT_SECRET=(set)\n") && !stdout.contains(KEY), "{stdout}");
    for well in [
        "the provider's discovery document",
        "the routes",
        "a connection to an API",
        "the session store",
        "the token store, and the client",
    ] {
        assert!(stdout.contains(&format!("ok: {well}")), "{well} in {stdout}");
    }
    assert_eq!(issuer.issuer().refreshes(), 0, "nobody was logged in");
    assert_eq!(stderr, "", "nothing that reads like a failure");
}

/// The last line on stderr, which says what to change.
async fn problem(issuer: &str, more: &[(&str, &str)]) -> String {
    let (code, _, stderr) = check(issuer, more).await;
    assert_eq!(code, Some(1), "{stderr}");
    let problems: Vec<_> = stderr
        .lines()
        .filter(|line| !line.contains(" WARN ") && !line.contains(" ERROR "))
        .collect();
    assert_eq!(problems.len(), 1, "one line: {stderr}");
    problems[0].to_owned()
}

#[tokio::test]
async fn a_check_says_what_to_change() {
    let issuer = issuer().await;
    let url = issuer.issuer_url();

    let secret = problem(&url, &[("CLIENT_SECRET", "hunter2")]).await;
    assert!(
        secret.starts_with("CLIENT_SECRET: the provider does not take it for the client \"web\""),
        "{secret}"
    );
    assert!(!secret.contains("hunter2"));

    let slash = format!("{url}/");
    let wrong = problem(&slash, &[]).await;
    assert!(
        wrong.contains(&format!("{slash:?}")) && wrong.contains(&format!("{url:?}")),
        "{wrong}"
    );
    assert!(wrong.ends_with("set ISSUER_URL to that one, or name it in ACCEPT_ISSUERS"), "{wrong}");

    let store = problem(&url, &[("DATABASE_URL", "sqlite:/nowhere/at/all.db")]).await;
    assert!(store.starts_with("DATABASE_URL \"sqlite:/nowhere/at/all.db\": "), "{store}");

    let nowhere = "/api/a=http://127.0.0.1:9";
    let api = problem(&url, &[("UPSTREAMS", nowhere)]).await;
    assert!(api.starts_with("UPSTREAMS: 127.0.0.1:9 cannot be reached: "), "{api}");

    issuer.shut_down().await;
    let down = problem(&url, &[]).await;
    assert!(
        down.starts_with(&format!("ISSUER_URL {url:?}: ")) && down.contains("refused"),
        "{down}"
    );
}

#[tokio::test]
async fn a_misspelt_setting_is_a_warning_and_an_error_for_a_check() {
    let misspelt = "TOKEN_KEY is not a setting; did you mean TOKEN_KEYS?";
    let (code, stdout, stderr) = check("https://id.example", &[("TOKEN_KEY", KEY)]).await;
    assert_eq!((code, &*stdout, stderr.trim_end()), (Some(2), "", misspelt));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let more = [("ISSUER_URL", "http://127.0.0.1:9"), ("LISTEN", &*listen), ("TOKEN_KEY", KEY)];
    let (code, _, stderr) = run(&[], &[&GOOD[..], &more].concat()).await;
    assert_eq!(code, Some(1), "it starts, until there is no port: {stderr}");
    assert!(
        stderr.lines().any(|line| line.contains(" WARN ") && line.ends_with(misspelt)),
        "{stderr}"
    );
    assert!(!stderr.contains(KEY), "{stderr}");
}
