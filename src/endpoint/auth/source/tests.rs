use std::{fs, path::Path};

use uuid::Uuid;

use super::*;

/// A folder that is deleted with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("source-{}", Uuid::new_v4().simple()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

async fn secret(source: &SecretSource) -> Result<String, String> {
    match source.get().await {
        Ok(secret) => Ok(secret.expose_secret().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn a_changed_file_is_read_without_its_line_end() {
    let folder = Folder::new();
    let path = folder.file("secret", "first\n");
    let source = SecretSource::file(&path);
    assert_eq!(secret(&source).await.unwrap(), "first");
    for (text, read) in [("second", "second"), ("third\r\n", "third"), (" s p \n", " s p ")] {
        fs::write(&path, text).unwrap();
        assert_eq!(secret(&source).await.unwrap(), read);
    }
}

#[tokio::test]
async fn a_file_that_fails_is_remembered_as_it_was() {
    let folder = Folder::new();
    let path = folder.file("secret", "good");
    let source = SecretSource::file(&path);
    source.check("the client secret").unwrap();
    for broken in [&b""[..], b"\n", &[0xff], &[b'x'; 64 * 1024 + 1]] {
        fs::write(&path, broken).unwrap();
        assert_eq!(secret(&source).await.unwrap(), "good");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(secret(&source).await.unwrap(), "good");
    folder.file("secret", "new");
    assert_eq!(secret(&source).await.unwrap(), "new");
}

#[tokio::test]
async fn a_file_that_was_never_good_is_an_error() {
    let folder = Folder::new();
    for (text, rule) in [
        (&b""[..], "it is empty"),
        (b"\r\n", "it is empty"),
        (&[0xff], "it is not UTF-8"),
        (&[b'x'; 64 * 1024 + 1], "it is longer than 64 KiB"),
    ] {
        let path = folder.file("secret", text);
        let source = SecretSource::file(&path);
        let shown = format!("the client secret in {path:?} cannot be used: {rule}");
        assert_eq!(source.check("the client secret").unwrap_err().to_string(), shown);
        assert_eq!(
            secret(&source).await.unwrap_err(),
            format!("the file {path:?} cannot be used: {rule}")
        );
    }
    let nowhere = SecretSource::file("/nowhere/secret").check("the client secret").unwrap_err();
    assert!(nowhere.to_string().ends_with("entity not found"), "{nowhere}");
}

#[tokio::test]
async fn a_function_is_asked_each_time_and_may_not_answer_nothing() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let source = SecretSource::from_fn(move || {
        let turn = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            match turn {
                0 => Ok("first".to_owned()),
                1 => Err("the vault is sealed"),
                _ => Ok(String::new()),
            }
        }
    });
    assert_eq!(secret(&source).await.unwrap(), "first");
    assert_eq!(secret(&source).await.unwrap_err(), "the application's function failed");
    assert_eq!(secret(&source).await.unwrap_err(), "the secret is empty");
}

#[tokio::test]
async fn a_key_file_is_pem_or_a_jwk_and_is_parsed_again_if_it_changes() {
    const JWK: &str = r#" {"kty":"OKP","crv":"Ed25519","kid":"a1",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";
    let folder = Folder::new();
    let path = folder.file("key", JWK);
    let source = SigningKeySource::file(&path, SigningAlgorithm::EdDsa);
    let key = source.get().await.unwrap();
    assert!(format!("{key:?}").contains("a1"));
    assert!(Arc::ptr_eq(&key, &source.get().await.unwrap()), "the same text is parsed once");
    fs::write(&path, PEM).unwrap();
    assert!(!format!("{:?}", source.get().await.unwrap()).contains("a1"));

    let other = SigningKeySource::file(&path, SigningAlgorithm::Rs256);
    assert_eq!(
        other.check("the signing key").unwrap_err().to_string(),
        format!(
            "the signing key in {path:?} cannot be used: RS256 needs an RSA key of 2048 to 8192 bits"
        )
    );
}

/// Kubernetes mounts a secret as a link to a folder, and swaps the link.
#[cfg(unix)]
#[tokio::test]
async fn a_swapped_link_brings_the_new_secret() {
    use std::os::unix::fs::symlink;

    let folder = Folder::new();
    let version = |name: &str, text: &str| {
        fs::create_dir(folder.0.join(name)).unwrap();
        folder.file(&format!("{name}/secret"), text);
    };
    let swap_to = |name: &str| {
        symlink(Path::new(name), folder.0.join("..data_tmp")).unwrap();
        fs::rename(folder.0.join("..data_tmp"), folder.0.join("..data")).unwrap();
    };
    version("..1", "one");
    version("..2", "two");
    swap_to("..1");
    symlink("..data/secret", folder.0.join("secret")).unwrap();
    let source = SecretSource::file(folder.0.join("secret"));
    assert_eq!(secret(&source).await.unwrap(), "one");
    swap_to("..2");
    assert_eq!(secret(&source).await.unwrap(), "two");
}
