//! Answers to refreshes, revocations and requests for documents, and the first tokens of a login.
#![no_main]

use fuzz::{assert_silent, planted, sent::sent};
use libfuzzer_sys::fuzz_target;
use tower_token_refresh::fuzzing;

/// Below the limit of the crate, so that inputs pass it sooner.
const MOST: usize = 96 * 1024;

fuzz_target!(|input: &[u8]| {
    let input = planted(input);
    let Some(sent) = sent(&input) else { return };
    let body = sent.pieces.concat();
    for told in fuzzing::answer(&sent, MOST) {
        assert_silent(&told);
    }
    assert_silent(&fuzzing::token_set(&body));
});
