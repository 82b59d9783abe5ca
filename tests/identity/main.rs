//! Refreshed tokens and the claims in them are those of the user who logged in.

mod id_tokens;
mod spellings;
mod verified_claims;
mod who_came_back;
