//! The manifests agree with the bff and with each other.

use tower_token_refresh::RefreshConfig;

use super::read;

const BFF: &str = "deploy/kubernetes/bff.yaml";

/// The number after the first `name`.
fn number(text: &str, name: &str) -> u64 {
    let rest = text.split(name).nth(1).unwrap_or_else(|| panic!("no {name}")).trim_start();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// What the bff waits for after SIGTERM: 10 s for requests, then for refreshes.
#[test]
fn nobody_is_killed_while_a_refresh_may_still_end() {
    let drain = 10 + RefreshConfig::default().shutdown_limit().as_secs();
    let manifest = read(BFF);
    let pause = number(&manifest, "sleep: {seconds:");
    assert!(pause >= 1);
    assert!(number(&manifest, "terminationGracePeriodSeconds:") > pause + drain);
    assert!(number(&read("deploy/compose.yaml"), "stop_grace_period:") > drain);
}

/// A pod that is not ready may hold tokens that Redis does not take.
#[test]
fn nobody_is_evicted_while_no_pod_is_ready() {
    let manifest = read(BFF);
    assert!(manifest.contains("kind: PodDisruptionBudget"));
    assert!(!manifest.contains("unhealthyPodEvictionPolicy:"), "the default is `IfHealthyBudget`");
}

/// Whoever holds all connections of the public port cannot have the process restarted.
#[test]
fn liveness_is_asked_where_no_user_comes() {
    let manifest = read(BFF);
    let probe = "livenessProbe:\n            httpGet: {path: /healthz, port: metrics}";
    assert!(manifest.contains(probe));
    assert!(read("deploy/kubernetes/config.yaml").contains("METRICS_LISTEN: 0.0.0.0:9464"));
    assert!(manifest.contains("{name: metrics, containerPort: 9464}"));
}

#[test]
fn each_secret_is_a_file_and_none_is_a_variable() {
    let (manifest, secrets) = (read(BFF), read("deploy/kubernetes/example/secret.yaml"));
    let settings = read("deploy/kubernetes/config.yaml");
    for secret in ["CLIENT_SECRET", "TOKEN_KEYS", "INDEX_KEY", "AUDIT_KEY", "REDIS_URL"] {
        let file = format!("{{name: {secret}_FILE, value: /run/secrets/bff/{secret}}}");
        assert!(manifest.contains(&file), "{file}");
        assert!(secrets.contains(&format!("  {secret}: ")), "{secret}");
        assert!(!settings.contains(secret), "{secret} is no setting");
    }
    assert!(!manifest.contains("secretKeyRef") && !manifest.contains("secretRef"));
}

/// A key that worked would be used.
#[test]
fn no_example_of_a_key_works() {
    let secrets = read("deploy/kubernetes/example/secret.yaml");
    for key in ["TOKEN_KEYS", "INDEX_KEY", "AUDIT_KEY"] {
        let name = format!("  {key}: ");
        let value = secrets.split(&name).nth(1).and_then(|rest| rest.lines().next()).expect(key);
        assert!(value.starts_with("EXAMPLE-") && value.len() != 44, "{value}");
    }
}

#[test]
fn everything_runs_with_as_few_rights_as_can_be() {
    for file in [BFF, "deploy/kubernetes/redis.yaml"] {
        let manifest = read(file);
        for line in [
            "runAsNonRoot: true",
            "readOnlyRootFilesystem: true",
            "allowPrivilegeEscalation: false",
            "capabilities: {drop: [ALL]}",
            "seccompProfile: {type: RuntimeDefault}",
            "automountServiceAccountToken: false",
        ] {
            assert!(manifest.contains(line), "{file}: {line}");
        }
    }
}
