//! Tokens for calls that go out, for whoever outlives a request or never had one.

mod adopted;
mod bearer;
mod connections;
mod counted;
mod extracted;
mod grpc_status;
mod refused_calls;
mod reqwest_clients;
mod streams;
