//! See `cofferdam_ipc::fuzzing`.
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cofferdam_ipc::fuzzing::wire(data));
