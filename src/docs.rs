//! Guides: how it works, what it promises, and how to run it.
//!
//! | page | |
//! |---|---|
//! | [`architecture`] | the path of a request, what a refresh does, which file holds what |
//! | [`guarantees`] | each promise with its code and its tests |
//! | [`failure_modes`] | what happens when something fails, and what the user sees |
//! | [`several_processes`] | running more than one instance: stores, locks, what fails and how |
//! | [`token_store`] | the token record, and a store of your own |
//! | [`encryption_at_rest`] | sealed tokens, and how to change keys |
//! | [`back_channel_logout`] | the provider ends logins |
//! | [`bff`] | the example backend for a frontend, and what its pages show |
//! | [`providers`] | what each provider does at a refresh, and what to set for it |
//! | [`keycloak`] | realm and client settings |
//! | [`client_authentication`] | secrets, keys, certificates, workload identity, and how they change |
//! | [`outgoing_calls`] | tokens for handlers, WebSockets, jobs, and users who are not there |
//! | [`service_tokens`] | tokens of the application itself, and token exchange |
//! | [`dpop`] | tokens that are bound to a key |
//! | [`several_providers`] | two providers for your users, or one per tenant |
//! | [`operations`] | logs, metrics, traces, health, shutdown, session stores, WebSockets |
//! | [`deployment`] | an image, a compose file, manifests for Kubernetes, alerts and a dashboard |
//! | [`runbook`] | each alert: what users see, what to check and mend; disaster recovery; troubleshooting |
//! | [`tuning`] | the limits and what follows from them |
//! | [`sizing`] | what a login, a refresh and a process cost, up to a million users |
//! | [`migration`] | from a mutex of your own, oauth2-proxy or axum-login |
//! | [`compared`] | what others do in the same storm |
//! | [`testing`] | the test kit for your application, and this crate's own tests |

// The first definition of a link wins: here it leads to a module, on GitHub to the file.

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}

#[doc = "[failure modes]: crate::docs::failure_modes\n\n"]
#[doc = include_str!("../docs/guarantees.md")]
pub mod guarantees {}

#[doc = "[architecture]: crate::docs::architecture#words\n\n"]
#[doc = include_str!("../docs/failure-modes.md")]
pub mod failure_modes {}

#[doc = "[failure modes]: crate::docs::failure_modes\n"]
#[doc = "[sealed]: crate::docs::encryption_at_rest\n"]
#[doc = "[Several providers]: crate::docs::several_providers\n\n"]
#[doc = include_str!("../docs/token-store.md")]
pub mod token_store {}

#[doc = "[token store]: crate::docs::token_store\n"]
#[doc = "[Failure modes]: crate::docs::failure_modes\n"]
#[doc = "[`lock`]: crate::lock\n\n"]
#[doc = include_str!("../docs/several-processes.md")]
pub mod several_processes {}

#[doc = include_str!("../docs/encryption-at-rest.md")]
pub mod encryption_at_rest {}

#[doc = include_str!("../docs/back-channel-logout.md")]
pub mod back_channel_logout {}

#[doc = "[replay]: crate::docs::failure_modes#replay\n"]
#[doc = "[bounds]: crate::ProviderLimits::concurrent\n"]
#[doc = "[client authentication]: crate::docs::client_authentication\n"]
#[doc = "[`end_after_rejections`]: crate::RefreshPolicy::end_after_rejections\n"]
#[doc = "[`TokenEndpoint::classify`]: crate::TokenEndpoint::classify\n\n"]
#[doc = include_str!("../docs/providers.md")]
pub mod providers {}

#[doc = "[Keycloak]: crate::docs::keycloak\n"]
#[doc = "[`Identity`]: crate::Identity\n\n"]
#[doc = include_str!("../docs/bff.md")]
pub mod bff {}

#[doc = "[replay]: crate::docs::failure_modes#replay\n\n"]
#[doc = include_str!("../docs/keycloak.md")]
pub mod keycloak {}

#[doc = "[sealed]: crate::docs::encryption_at_rest\n"]
#[doc = "[DPoP]: crate::docs::dpop\n\n"]
#[doc = include_str!("../docs/login.md")]
pub mod login {}

#[doc = include_str!("../docs/client-authentication.md")]
pub mod client_authentication {}

#[doc = "[token store]: crate::docs::token_store\n"]
#[doc = "[DPoP]: crate::docs::dpop\n"]
#[doc = "[healed 401]: crate::docs::testing#test-a-healed-401\n"]
#[doc = "[service tokens]: crate::docs::service_tokens\n"]
#[doc = "[back-channel logout]: crate::docs::back_channel_logout\n"]
#[doc = "[test kit]: crate::docs::testing\n\n"]
#[doc = include_str!("../docs/outgoing-calls.md")]
pub mod outgoing_calls {}

#[doc = "[Calls that go out]: crate::docs::outgoing_calls\n"]
#[doc = "[answer]: crate::docs::outgoing_calls#from-the-clients-error-to-an-answer\n\n"]
#[doc = include_str!("../docs/service-tokens.md")]
pub mod service_tokens {}

#[doc = "[Seal the token store]: crate::docs::encryption_at_rest\n\n"]
#[doc = include_str!("../docs/dpop.md")]
pub mod dpop {}

#[doc = "[Calls that go out]: crate::docs::outgoing_calls\n"]
#[doc = "[metrics]: crate::docs::operations#metrics\n\n"]
#[doc = include_str!("../docs/several-providers.md")]
pub mod several_providers {}

#[doc = "[Calls that go out]: crate::docs::outgoing_calls#websockets-and-streams\n"]
#[doc = "[Runbook]: crate::docs::runbook\n"]
#[doc = "[`EndpointResolver`]: crate::docs::several_providers#a-provider-per-tenant\n"]
#[doc = "[token store]: crate::docs::token_store\n"]
#[doc = "[unsaved tokens]: crate::docs::failure_modes#unsaved-tokens-and-endings\n\n"]
#[doc = include_str!("../docs/operations.md")]
pub mod operations {}

#[doc = "[metrics]: crate::docs::operations#metrics\n"]
#[doc = "[runbook]: crate::docs::runbook\n"]
#[doc = "[several processes]: crate::docs::several_processes\n"]
#[doc = "[tuning]: crate::docs::tuning\n\n"]
#[doc = include_str!("../docs/deployment.md")]
pub mod deployment {}

#[doc = "[Operations]: crate::docs::operations\n"]
#[doc = "[failure modes]: crate::docs::failure_modes\n"]
#[doc = "[Tuning]: crate::docs::tuning\n"]
#[doc = "[Migration]: crate::docs::migration\n"]
#[doc = "[the page of a process]: crate::docs::operations#the-page-of-a-process\n"]
#[doc = "[sizing]: crate::docs::sizing\n"]
#[doc = "[several processes]: crate::docs::several_processes\n"]
#[doc = "[providers]: crate::docs::providers\n"]
#[doc = "[encryption at rest]: crate::docs::encryption_at_rest\n\n"]
#[doc = include_str!("../docs/runbook.md")]
pub mod runbook {}

#[doc = "[sizing]: crate::docs::sizing\n"]
#[doc = "[metrics]: crate::docs::operations#metrics\n\n"]
#[doc = include_str!("../docs/tuning.md")]
pub mod tuning {}

#[doc = "[tuning]: crate::docs::tuning\n"]
#[doc = "[compared]: crate::docs::compared\n"]
#[doc = "[runbook]: crate::docs::runbook\n\n"]
#[doc = include_str!("../docs/sizing.md")]
pub mod sizing {}

#[doc = "[login]: crate::docs::login\n"]
#[doc = "[A client of your own]: crate::docs::login#a-client-of-your-own\n"]
#[doc = "[service tokens]: crate::docs::service_tokens\n"]
#[doc = "[the example backend]: crate::docs::bff\n"]
#[doc = "[sizing]: crate::docs::sizing\n"]
#[doc = "[tuning]: crate::docs::tuning\n\n"]
#[doc = include_str!("../docs/migration.md")]
pub mod migration {}

#[doc = include_str!("../docs/compared.md")]
pub mod compared {}

#[doc = "[guarantees]: crate::docs::guarantees\n\n"]
#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    fn pages() -> Vec<(String, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let docs = fs::read_dir(root.join("docs")).expect("docs is a folder");
        let docs = docs.map(|page| page.expect("it can be read").path());
        let docs = docs.filter(|page| page.extension().is_some_and(|kind| kind == "md"));
        docs.chain([root.join("README.md")])
            .map(|page| {
                (page.display().to_string(), fs::read_to_string(&page).expect("a page is text"))
            })
            .collect()
    }

    #[test]
    fn every_file_that_the_docs_name_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (page, text) in pages() {
            let spans = text.split('`').skip(1).step_by(2);
            let in_the_crate = |span: &&str| {
                ["src/", "tests/", "examples/"].iter().any(|folder| span.starts_with(folder))
            };
            for path in spans.filter(in_the_crate) {
                let path = path.split_whitespace().next().unwrap_or_default();
                assert!(root.join(path).exists(), "{page} names {path}");
            }
        }
    }
}
