//! See `cofferdam_checkpoint::fuzzing`.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cofferdam_checkpoint::fuzzing::snapshot(data));
