//! The job, in a process of its own: it knows the users by their handles, and asks for a token
//! whenever it needs one. Who refreshes, and when, is not its business.

use std::{env, error::Error, ffi::OsStr, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use reqwest::{Client, header::AUTHORIZATION};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};
use tower_token_refresh::{GrantHandle, LoginTokens, TokenRefresher};

use crate::store;

/// Where everything is: the process's environment.
pub struct Setting {
    pub process: String,
    pub api: String,
    pub token_url: String,
    pub database: PathBuf,
}

const PROCESS: &str = "CONNECTOR_PROCESS";
const API: &str = "CONNECTOR_API";
const TOKEN_URL: &str = "CONNECTOR_TOKEN_URL";
const DATABASE: &str = "CONNECTOR_DATABASE";

impl Setting {
    /// None in the process that starts the others.
    pub fn of_this_process() -> Option<Self> {
        Some(Self {
            process: env::var(PROCESS).ok()?,
            api: env::var(API).ok()?,
            token_url: env::var(TOKEN_URL).ok()?,
            database: env::var_os(DATABASE)?.into(),
        })
    }

    pub fn variables(&self) -> [(&'static str, &OsStr); 4] {
        [
            (PROCESS, self.process.as_ref()),
            (API, self.api.as_ref()),
            (TOKEN_URL, self.token_url.as_ref()),
            (DATABASE, self.database.as_ref()),
        ]
    }
}

/// Calls the API for each user whenever a line arrives, until there are no more.
pub async fn run(setting: Setting) -> Result<(), Box<dyn Error>> {
    let refresher = store::refresher(&setting.token_url, &setting.database).await?;
    let mut lines = BufReader::new(stdin()).lines();
    let accounts = accounts(&refresher, &mut lines).await?;
    let client = Client::new();
    while lines.next_line().await?.is_some() {
        let calls = accounts.iter().map(|(user, tokens)| call(&client, &setting, user, tokens));
        for outcome in join_all(calls).await {
            if let Err(error) = outcome {
                eprintln!("process {}: {error}", setting.process);
            }
        }
        println!("done");
    }
    refresher.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

/// One call of the API for a user who is not there.
async fn call(
    client: &Client,
    setting: &Setting,
    user: &str,
    tokens: &LoginTokens,
) -> Result<(), Box<dyn Error>> {
    // Fresh now, whichever process has refreshed it.
    let token = tokens.token().await?;
    let orders = format!("{}/orders/{user}/by/{}", setting.api, setting.process);
    client.get(orders).header(AUTHORIZATION, token.header()).send().await?.error_for_status()?;
    Ok(())
}

/// Users and handles come from wherever you keep them, as passwords are kept. Here it is the first
/// lines of stdin, up to an empty one: arguments and variables can be read by others.
async fn accounts(
    refresher: &TokenRefresher,
    lines: &mut Lines<BufReader<Stdin>>,
) -> Result<Vec<(String, LoginTokens)>, Box<dyn Error>> {
    let mut accounts = Vec::new();
    while let Some(line) = lines.next_line().await? {
        let Some((user, handle)) = line.split_once(' ') else { break };
        accounts.push((user.to_owned(), refresher.tokens(&GrantHandle::from_secret(handle)?)));
    }
    Ok(accounts)
}
