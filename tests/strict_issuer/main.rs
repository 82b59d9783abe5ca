//! The strict issuer keeps its own promises: tests that lean on it need it to be as strict as it
//! says.

mod authorization;
mod dialects;
mod fronts;
mod gates;
mod model;
mod program;
mod refreshers;
mod requests;
mod rotation;
mod rules;
mod script;
mod tokens;
