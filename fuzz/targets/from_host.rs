//! See `cofferdam_isolation::fuzzing`.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cofferdam_isolation::fuzzing::from_host(data));
