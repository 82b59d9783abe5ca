//! What the command line says.

use std::time::Duration;

use tower_token_refresh::testing::ProviderKind;

pub const HELP: &str = "\
A strict identity provider for tests. It logs in whom login_hint names, or alice.

issuer [ADDRESS] [OPTIONS]

ADDRESS                    where it listens; 127.0.0.1:9400 unless given
--like PROVIDER            which provider it behaves like; keycloak unless given
--client ID                the only client; web unless given
--secret SECRET            its secret; secret unless given
--access-lifetime SECONDS  how long access tokens live; as the provider's unless given
--help                     this text
";

pub struct Arguments {
    pub address: String,
    pub like: ProviderKind,
    pub client: String,
    pub secret: String,
    pub access_lifetime: Option<Duration>,
}

impl Arguments {
    /// None where help is wanted. An error is one line.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut read = Self {
            address: "127.0.0.1:9400".to_owned(),
            like: ProviderKind::default(),
            client: "web".to_owned(),
            secret: "secret".to_owned(),
            access_lifetime: None,
        };
        let mut arguments = arguments.into_iter();
        let mut addresses = 0;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next().filter(|value| !value.is_empty());
                value.ok_or_else(|| format!("{argument}: a value must follow"))
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--like" => read.like = provider(&value()?)?,
                "--client" => read.client = value()?,
                "--secret" => read.secret = value()?,
                "--access-lifetime" => read.access_lifetime = Some(seconds(&value()?)?),
                option if option.starts_with('-') => {
                    return Err(format!("{option}: no such option; --help names them"));
                }
                _ if addresses == 1 => {
                    return Err(format!("{argument}: one address is enough"));
                }
                _ => {
                    addresses += 1;
                    read.address = argument;
                }
            }
        }
        Ok(Some(read))
    }
}

fn provider(name: &str) -> Result<ProviderKind, String> {
    let known = ProviderKind::ALL.iter().copied();
    known.clone().find(|kind| kind.name() == name).ok_or_else(|| {
        let names: Vec<_> = known.map(ProviderKind::name).collect();
        format!("--like {name}: no such provider; there are {}", names.join(", "))
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    // No provider's tokens live longer than a year, and a clock must be able to add it.
    let number = text.parse().ok().filter(|number| (1..=366 * 86_400).contains(number));
    number
        .map(Duration::from_secs)
        .ok_or_else(|| format!("--access-lifetime {text}: give whole seconds, from 1 to a year"))
}
