//! What the people who run an application get to know of it.

mod audit;
mod audit_of_failures;
mod counts;
mod demo;
mod health;
mod inspect;
mod locks;
mod metrics;
mod snapshot;
mod spans;
