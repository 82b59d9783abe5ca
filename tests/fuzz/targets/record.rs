//! Token records.
#![no_main]

use fuzz::{assert_silent, planted};
use libfuzzer_sys::fuzz_target;
use tower_token_refresh::fuzzing;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(&planted(input)).into_owned();
    for told in fuzzing::record(&text) {
        assert_silent(&told);
    }
});
