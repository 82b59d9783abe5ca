//! The example `issuer`: the issuer as a program, for applications in any language.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::Value;
use support::program::build_example;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};
use tower_token_refresh::testing::ProviderKind;

fn program() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    Command::new(PROGRAM.get_or_init(|| build_example("issuer", &[])))
}

fn ended(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("it runs")
}

/// Ends with its handle.
struct Running {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = tokio::process::Command::from(program());
        command.args(arguments).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("it runs");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { _process: process, lines }
    }

    /// The next line of its output. A test that waits for ever is a test that fails.
    async fn line(&mut self) -> String {
        let line = timeout(Duration::from_secs(20), self.lines.next_line()).await;
        line.expect("it has more to say").expect("it runs").expect("it runs")
    }

    async fn setting(&mut self, name: &str) -> String {
        let line = self.line().await;
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{name} is told, not {line:?}")).to_owned()
    }
}

async fn post(url: &Value, form: &[(&str, &str)]) -> Value {
    let request = reqwest::Client::new().post(url.as_str().expect("an address")).form(form);
    request.send().await.expect("an answer").json().await.expect("JSON")
}

#[tokio::test]
async fn it_says_what_to_set_and_what_happens() {
    let mut running = Running::start(&[
        "127.0.0.1:0",
        "--like",
        "okta",
        "--client",
        "shop",
        "--secret",
        "s3cret",
        "--access-lifetime",
        "7",
    ]);
    let issuer_url = running.setting("ISSUER_URL").await;
    assert_eq!(running.setting("CLIENT_ID").await, "shop");
    assert_eq!(running.setting("CLIENT_SECRET").await, "s3cret");

    let url = format!("{issuer_url}/.well-known/openid-configuration");
    let document: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(document["issuer"], *issuer_url);

    let client = [("client_id", "shop"), ("client_secret", "s3cret")];
    let service = [("grant_type", "client_credentials"), client[0], client[1]];
    let tokens = post(&document["token_endpoint"], &service).await;
    assert_eq!(tokens["expires_in"], 7);

    let refresh = [("grant_type", "refresh_token"), ("refresh_token", "rt"), client[0], client[1]];
    let refused = post(&document["token_endpoint"], &refresh).await;
    assert_eq!(refused["error_description"], "The refresh token is invalid or expired.", "Okta's");
    let line = running.line().await;
    assert!(line.ends_with("a refresh token was refused refusal=Unknown"), "{line}");
}

#[test]
fn what_cannot_work_is_one_line_and_exit_code_2() {
    let names: Vec<_> = ProviderKind::ALL.iter().map(|kind| kind.name()).collect();
    let names = format!("--like nobody: no such provider; there are {}\n", names.join(", "));
    for (arguments, line) in [
        (&["--like", "nobody"][..], &*names),
        (&["--like"], "--like: a value must follow\n"),
        (
            &["--access-lifetime", "0"],
            "--access-lifetime 0: give whole seconds, from 1 to a year\n",
        ),
        (&["--port", "1"], "--port: no such option; --help names them\n"),
        (&["127.0.0.1:1", "127.0.0.1:2"], "127.0.0.1:2: one address is enough\n"),
    ] {
        let ended = ended(arguments);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), line);
        assert!(ended.stdout.is_empty());
    }
}

#[test]
fn an_address_that_is_taken_is_one_line_and_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = ended(&[&address]);
    assert_eq!(ended.status.code(), Some(1));
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert!(stderr.starts_with(&format!("{address}: cannot listen there: ")), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn it_names_its_options() {
    let ended = ended(&["--help"]);
    assert_eq!(ended.status.code(), Some(0));
    let text = String::from_utf8(ended.stdout).unwrap();
    for option in ["--like", "--client", "--secret", "--access-lifetime", "127.0.0.1:9400"] {
        assert!(text.contains(option), "{option}");
    }
}
