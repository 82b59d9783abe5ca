//! A connector: it calls an API for users who have linked an account and are not there. It runs as
//! two processes, and each calls the API once a second for each user, with the user's own token.
//!
//! Tokens live 5 s here, so both processes meet each expiry at the same moment. The provider
//! rotates refresh tokens, and ends a user's login when one is presented twice, as Keycloak does
//! with "Revoke Refresh Token" on. What a process stores of a user is a handle; the tokens lie in
//! one SQLite file.
//!
//! No arguments, no services: `cargo run --example connector`. It takes about 15 s, prints who used
//! which token when, and fails if anything went wrong.
//!
//! `job.rs` is what you would write. The provider, the API and the clock that starts the jobs are
//! here, in the process that starts the other two.

mod api;
mod job;
mod store;
mod worker;

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    time::Duration,
};

use api::Api;
use tokio::time::interval;
use tower_token_refresh::{
    TokenSet,
    testing::{IssuerServer, StrictIssuer},
};
use worker::Worker;

const USERS: [&str; 2] = ["alice", "bob"];
const TOKEN_LIVES: Duration = Duration::from_secs(5);
const EXPIRIES: usize = 3;
/// A run that takes longer than this has gone wrong.
const MOST_SECONDS: usize = 25;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(setting) = job::Setting::of_this_process() {
        job::run(setting).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let database = env::temp_dir().join(format!("connector-{}.db", process::id()));
    let outcome = watch(&database).await;
    for file in [database.clone(), beside(&database, "-wal"), beside(&database, "-shm")] {
        // SQLite has removed some of them itself.
        let _ = std::fs::remove_file(file);
    }
    Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Whether all went well.
async fn watch(database: &Path) -> Result<bool, Box<dyn Error>> {
    let provider =
        StrictIssuer::builder().access_token_lifetime(TOKEN_LIVES).build().serve().await?;
    let api = Api::serve(provider.issuer().clone()).await?;
    let accounts = link_accounts(&provider, database).await?;
    let mut workers = Vec::new();
    for name in ["A", "B"] {
        let setting = job::Setting {
            process: name.to_owned(),
            api: api.url.clone(),
            token_url: provider.token_url(),
            database: database.to_owned(),
        };
        workers.push(Worker::start(&setting, &accounts).await?);
    }

    println!(
        "Alice and Bob have linked their accounts; an access token lives {} s.\n\
         Processes A and B call the API for both of them, once a second and at the same moment.\n\
         The provider ends a user's login if a refresh token is used twice.\n\n\
         Which of a user's access tokens each process used:\n\n\
         second    alice by A   alice by B   bob by A     bob by B",
        TOKEN_LIVES.as_secs()
    );
    let mut seconds = interval(Duration::from_secs(1));
    let (mut refreshes, mut calls) = (0, 0);
    for second in 1..=MOST_SECONDS {
        seconds.tick().await;
        let [one, other] = &mut workers[..] else { unreachable!("there are two") };
        tokio::try_join!(one.run(), other.run())?;
        calls += USERS.len() * workers.len();
        let before = std::mem::replace(&mut refreshes, provider.issuer().refreshes());
        let row = format!("{second:<10}{}{}", api.row(), note(refreshes - before));
        println!("{}", row.trim_end());
        if USERS.iter().all(|user| api.tokens_of(user).len() > EXPIRIES) {
            break;
        }
    }
    Ok(judge(&provider, &api, calls))
}

/// Stands for the page where a user links an account: the provider's answer to the code flow is
/// adopted, and what is kept is a handle. Whoever has it has the tokens, so it is a secret.
async fn link_accounts(
    provider: &IssuerServer,
    database: &Path,
) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let refresher = store::refresher(&provider.token_url(), database).await?;
    let mut accounts = Vec::new();
    for user in USERS {
        let answer = provider.issuer().log_in(user);
        let handle = refresher.adopt(TokenSet::from_response(answer)?).await?;
        accounts.push((user.to_owned(), handle.to_secret()));
    }
    Ok(accounts)
}

fn note(refreshes: usize) -> String {
    match refreshes {
        0 => String::new(),
        1 => "expired: one refresh".to_owned(),
        _ => format!("expired: {refreshes} refreshes for {} calls", 2 * USERS.len()),
    }
}

fn judge(provider: &IssuerServer, api: &Api, calls: usize) -> bool {
    let issuer = provider.issuer();
    let expiries: Vec<usize> =
        USERS.iter().map(|user| api.tokens_of(user).len().saturating_sub(1)).collect();
    let in_all: usize = expiries.iter().sum();
    let linked = USERS
        .map(|user| api.tokens_of(user).last().is_some_and(|token| issuer.session_alive(token)));
    println!("\naccess tokens that expired     alice {}, bob {}", expiries[0], expiries[1]);
    println!("refreshes                      {} for {in_all} expiries", issuer.refreshes());
    println!("one refresh token was used     {} at most", times(issuer.max_presented()));
    println!("calls that the API served      {} of {calls}", api.served());
    println!("users whose login was lost     {}", linked.iter().filter(|linked| !**linked).count());
    let is_well = expiries.iter().all(|expiries| *expiries >= EXPIRIES)
        && issuer.refreshes() == in_all
        && issuer.max_presented() == 1
        && api.served() == calls
        && linked == [true; 2];
    println!("\n{}", if is_well { "All well." } else { "That is not what this crate promises." });
    is_well
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
