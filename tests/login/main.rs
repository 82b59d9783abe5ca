//! Proves that the login routes log in whoever should be logged in, and nobody else: an application
//! with these routes, a strict provider, and a browser that keeps cookies as browsers do.

mod claims_of_opaque;
mod dialects;
mod example;
mod flow;
mod forged;
mod form_post;
mod hooks;
mod identity;
mod once;
mod provider_says;
mod pushed;
mod refused;
mod return_path;
mod settings;
mod world;

use support::tab as browser;
