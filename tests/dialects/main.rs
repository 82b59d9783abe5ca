//! Providers that speak OAuth 2.0 with an accent: no answer in foreign words logs a user out, makes a
//! loop, or locks everybody else out.
//!
//! The bodies are literal, from public documentation and reports. Behind each one is a strict
//! provider that rotates, so a token that is presented twice is a login that is lost.

mod dead;
mod lifetimes;
mod load;
mod not_dead;
mod one_user;
mod perhaps_dead;
mod refusals;
mod salvage;
mod stage;
