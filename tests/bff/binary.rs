//! The program itself: how it refuses to start, and how it ends.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use support::bff::build;

use crate::settings::{BAD, GOOD};

fn program() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PROGRAM.get_or_init(|| build(&[])));
    command.env_clear();
    command
}

fn ended(others: &[(&str, &str)]) -> Output {
    program().envs(GOOD).envs(others.iter().copied()).output().expect("it runs")
}

#[test]
fn a_bad_setting_is_one_line_and_exit_code_2() {
    for (others, line) in BAD {
        let ended = ended(others);
        assert_eq!(ended.status.code(), Some(2), "{others:?}");
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), format!("{line}\n"));
        assert!(ended.stdout.is_empty());
    }
}

#[test]
fn what_cannot_be_had_is_one_line_and_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    let closed_port = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        closed.local_addr().unwrap().port()
    };
    let issuer = ("ISSUER_URL", &*format!("http://127.0.0.1:{closed_port}"));
    for (variable, value, shown) in [
        (
            "LISTEN",
            format!("127.0.0.1:{taken_port}"),
            format!("LISTEN \"127.0.0.1:{taken_port}\": "),
        ),
        (
            "REDIS_URL",
            format!("redis://:hunter2@127.0.0.1:{closed_port}"),
            format!("REDIS_URL \"redis://…@127.0.0.1:{closed_port}\": "),
        ),
        (
            "DATABASE_URL",
            "sqlite:/nowhere/at/all.db".to_owned(),
            "DATABASE_URL \"sqlite:/nowhere/at/all.db\": ".to_owned(),
        ),
    ] {
        let ended = ended(&[issuer, (variable, &value)]);
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        assert!(stderr.lines().any(|line| line.starts_with(&shown)), "{stderr}");
        assert!(!stderr.contains("hunter2") && !stderr.contains("panicked"), "{stderr}");
    }
}

#[cfg(unix)]
#[test]
fn it_starts_without_its_provider_and_stops_when_asked() {
    let others = [("ISSUER_URL", "http://127.0.0.1:9"), ("LISTEN", "127.0.0.1:0")];
    let mut running =
        program().envs(GOOD).envs(others).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut stderr = BufReader::new(running.stderr.take().expect("piped"));
    let mut log = String::new();
    while !log.contains("serving") {
        assert_ne!(stderr.read_line(&mut log).expect("read"), 0, "{log}");
    }
    assert!(log.contains("the next login will try again"), "{log}");
    assert!(log.contains("sessions are kept in memory"), "{log}");

    let pid = running.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    assert_eq!(running.wait().expect("it ends").code(), Some(0));
    stderr.read_to_string(&mut log).expect("read");
    assert!(log.contains("stopping"), "{log}");
}
