//! Key sets.
#![no_main]

use fuzz::{assert_silent, planted};
use libfuzzer_sys::fuzz_target;
use tower_token_refresh::fuzzing;

fuzz_target!(|input: &[u8]| assert_silent(&fuzzing::key_set(&planted(input))));
