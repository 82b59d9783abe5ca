//! Tokens for calls that go out, for whoever outlives a request or never had one.

mod adopted;
mod bearer;
mod extracted;
mod grpc_status;
mod reqwest_clients;
mod streams;
