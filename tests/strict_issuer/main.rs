//! The strict issuer keeps its own promises: tests that lean on it need it to be as strict as it
//! says.

mod authorization;
mod fronts;
mod gates;
mod model;
mod requests;
mod rules;
mod script;
mod tokens;
