//! See `cofferdam_fuzz::directory`.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cofferdam_fuzz::directory(data));
