//! No secret, key or assertion is printed: not by `Debug`, not in an error, not in the log.

use std::{error::Error, fmt::Debug};

use support::log::Log;
use tower_token_refresh::{
    AssertionAudience, ClientAuth, SecretSource, SigningAlgorithm, SigningKey, SigningKeySource,
    TokenEndpoint,
};

use crate::{keys::Pair, refreshed, world};

const SECRET: &str = "client-secret-that-nobody-sees-at-all";

fn everything(error: &(dyn Error + 'static)) -> String {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut next = error.source();
    while let Some(error) = next {
        shown += &format!(" {error} {error:?}");
        next = error.source();
    }
    shown
}

#[tokio::test]
async fn neither_an_error_nor_the_log_nor_debug_shows_a_secret_key_or_assertion() {
    let pair = Pair::rsa();
    let key_line = pair.pem.lines().nth(1).unwrap().to_owned();
    let methods = [
        ClientAuth::basic("app", SECRET),
        ClientAuth::post("app", SecretSource::from_fn(async || Ok::<_, String>(SECRET.into()))),
        ClientAuth::client_secret_jwt("app", SECRET),
        ClientAuth::private_key_jwt("app", pair.key(SigningAlgorithm::Ps256)),
        ClientAuth::federated("app", SECRET),
    ];
    for auth in methods {
        let log = Log::of_this_thread();
        let shown = format!("{auth:?} {auth:#?}");
        // The provider knows another client: it refuses all of them.
        let (world, sent) = world(|issuer| issuer, auth);
        let id = world.log_in("alice").await;
        let mut printed = shown;
        for _ in 0..3 {
            printed += &everything(&refreshed(&world, id).await.unwrap_err());
        }
        printed += &log.text();
        printed += &format!("{:?}", world.refresher);
        let mut secrets = vec![SECRET.to_owned(), key_line.clone()];
        secrets.extend(sent.fields("client_assertion"));
        secrets.extend(
            sent.authorizations()
                .iter()
                .filter_map(|header| header.split_once(' ').map(|(_, secret)| secret.to_owned())),
        );
        for secret in secrets {
            for part in secret.split('.').filter(|part| part.len() > 16) {
                assert!(!printed.contains(part), "{part} is in {printed}");
            }
        }
    }
}

#[test]
fn debug_of_a_setting_shows_where_a_secret_comes_from_alone() {
    let pair = Pair::rsa();
    let key = pair.key(SigningAlgorithm::Rs256);
    let shown = |value: &dyn Debug| format!("{value:?}");
    assert_eq!(shown(&SecretSource::from(SECRET)), "SecretSource(a fixed value)");
    assert_eq!(shown(&SecretSource::file("/run/s")), r#"SecretSource(the file "/run/s")"#);
    assert_eq!(shown(&SigningKeySource::from(key.clone())), "SigningKeySource(a fixed value)");
    let asked = SigningKeySource::from_fn(move || {
        let key = key.clone();
        async move { Ok::<_, String>(key) }
    });
    assert_eq!(shown(&asked), "SigningKeySource(a function)");
    let endpoint = TokenEndpoint::new("https://id.example/token", ClientAuth::mutual_tls("app"))
        .client_certificate(pair.pem.clone());
    assert!(!shown(&endpoint).contains(pair.pem.lines().nth(1).unwrap()));
    let audience = AssertionAudience::Other("urn:as".into());
    assert_eq!(shown(&audience), r#"Other("urn:as")"#);
}

#[test]
fn an_error_about_a_key_shows_nothing_of_it() {
    let pem = Pair::rsa().pem;
    let line = pem.lines().nth(1).unwrap();
    let broken = pem.replace("-----END PRIVATE KEY-----", line);
    for error in [
        SigningKey::from_pem(&pem, SigningAlgorithm::Es256).unwrap_err(),
        SigningKey::from_pem(broken, SigningAlgorithm::Rs256).unwrap_err(),
        SigningKey::from_pem(line, SigningAlgorithm::Rs256).unwrap_err(),
        SigningKey::from_jwk(&pem, SigningAlgorithm::Rs256).unwrap_err(),
        SigningKey::from_jwk(format!(r#"{{"d":"{line}"}}"#), SigningAlgorithm::EdDsa).unwrap_err(),
    ] {
        assert!(!everything(&error).contains(&line[..16]), "{error}");
    }
}
