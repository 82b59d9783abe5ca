//! Redis over TLS, with a certificate that only `SSL_CERT_FILE` makes good.

use std::{env, path::Path, process::Command};

use tower_token_refresh::Redis;

use crate::{
    scene::Scene,
    servers::{self, Folder, free_port},
};

const URL: &str = "TEST_REDIS_TLS_URL";

/// The environment is read by a process of its own: this test, started once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server and openssl: see tests/services/run"]
async fn everything_works_over_tls() {
    match env::var(URL) {
        Ok(url) => serve(&url).await,
        Err(_) => in_a_process_that_trusts_the_server("redis_tls::everything_works_over_tls"),
    }
}

async fn serve(url: &str) {
    let mut processes = Vec::new();
    for _ in 0..2 {
        processes.push(Redis::connect(url).await.expect("Redis answers").tokens());
    }
    let tally = Scene::of(processes).await.suffer("Redis over TLS", async {}).await;
    tally.assert_nobody_lost();
}

fn in_a_process_that_trusts_the_server(test: &str) {
    let folder = Folder::new();
    let (certificate, key) = (folder.0.join("certificate"), folder.0.join("key"));
    certify(&certificate, &key);
    let port = free_port().to_string();
    let [certificate_file, key_file] =
        [&certificate, &key].map(|path| path.to_str().expect("text"));
    #[rustfmt::skip]
    let tls = [
        "--tls-port", &port, "--tls-auth-clients", "no",
        "--tls-cert-file", certificate_file, "--tls-key-file", key_file,
    ];
    let _redis = servers::redis(&folder.0, &tls);
    let ended = Command::new(env::current_exe().expect("this program"))
        .args([test, "--exact", "--include-ignored", "--nocapture"])
        .env("SSL_CERT_FILE", &certificate)
        .env(URL, format!("rediss://localhost:{port}"))
        .status();
    assert!(ended.expect("it runs").success());
}

/// A certificate for localhost, signed by itself.
fn certify(certificate: &Path, key: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
