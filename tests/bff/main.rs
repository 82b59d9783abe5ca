//! Proves that the example `bff` keeps its users logged in and gives away no token: the whole
//! application, between a strict provider and an API on loopback, and a browser that keeps cookies
//! as browsers do.

#[path = "../../examples/bff/app/mod.rs"]
#[allow(dead_code, reason = "the example's own main uses the rest")]
mod app;

mod back_channel;
mod binary;
mod command_line;
mod cookies;
mod csrf;
mod database;
mod demo;
mod echo;
mod event_streams;
mod files;
mod issuer_by_http;
mod last_words;
mod logout;
mod me;
mod metrics;
mod pages;
mod proxy;
mod proxy_answers;
mod proxy_headers;
mod proxy_limits;
mod proxy_refuses;
mod rejected;
mod sealed;
mod secrets;
mod settings;
mod settings_files;
mod settings_secrets;
mod shutdown;
mod silent_provider;
mod store_down;
mod upstream_refuses;
mod upstreams;
mod web_sockets;
mod world;

use support::tab as browser;
