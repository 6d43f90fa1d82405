//! What is put to the test.

use cofferdam_ipc::Codec;
use cofferdam_isolation::{
    ChildExecutor, ChildSettings, Debugging, Registration, ThreadExecutor, ThreadSettings, WorkerProgram,
    Workspace, worker_entry,
};
use cofferdam_pipeline_core::{Executor, Processor, WorkerSink};
use cofferdam_testkit::conformance::{Conformant, Subject};
use std::sync::Arc;
use std::time::Duration;

pub fn enter_worker() {
    worker_entry(&[Registration::of::<Conformant>()]);
}

type Place = Arc<dyn Workspace>;

fn children(settings: ChildSettings, sink: WorkerSink) -> Box<dyn Executor> {
    Box::new(ChildExecutor::new(settings, sink).unwrap())
}

fn settings(codec: Codec, program: WorkerProgram, config: Vec<u8>, place: Place) -> ChildSettings {
    ChildSettings {
        program,
        processor: Conformant::NAME,
        version: Conformant::VERSION,
        codec,
        config,
        env: Vec::new(),
        slots: 1,
        stack_bytes: 8 << 20,
        main_thread: false,
        start_wall_max: Duration::from_secs(30),
        debugging: Debugging::Off,
        runtime_dir: None,
        frame_payload_max: 8 << 20,
        workspace: Some(place),
    }
}

/// This test executable again.
pub fn own_executable(codec: Codec) -> Subject {
    fn program() -> WorkerProgram {
        WorkerProgram::Test { name: "worker_entry".into() }
    }
    match codec {
        Codec::Bincode => Subject {
            make: |config, place, sink| children(settings(Codec::Bincode, program(), config, place), sink),
            codec,
            is_process: true,
        },
        Codec::Json => Subject {
            make: |config, place, sink| children(settings(Codec::Json, program(), config, place), sink),
            codec,
            is_process: true,
        },
    }
}

/// An executable that is nothing but a worker.
pub fn separate_executable() -> Subject {
    let make = |config, place, sink| {
        let path = env!("CARGO_BIN_EXE_conformance-worker").into();
        let program = WorkerProgram::Program { path, args: Vec::new() };
        children(settings(Codec::Bincode, program, config, place), sink)
    };
    Subject { make, codec: Codec::Bincode, is_process: true }
}

/// The same, its processor on the main thread.
pub fn main_thread() -> Subject {
    let make = |config, place, sink| -> Box<dyn Executor> {
        let path = env!("CARGO_BIN_EXE_conformance-worker").into();
        let program = WorkerProgram::Program { path, args: Vec::new() };
        let settings = settings(Codec::Bincode, program, config, place);
        children(ChildSettings { main_thread: true, ..settings }, sink)
    };
    Subject { make, codec: Codec::Bincode, is_process: true }
}

/// Threads of this process.
pub fn threads() -> Subject {
    let make = |config, place, sink| -> Box<dyn Executor> {
        let settings = ThreadSettings {
            codec: Codec::Bincode,
            config,
            slots: 1,
            stack_bytes: 1 << 20,
            main_thread: false,
            start_wall_max: Duration::from_secs(60),
            frame_payload_max: 8 << 20,
            allow_panic_abort: false,
            workspace: Some(place),
        };
        Box::new(ThreadExecutor::new::<Conformant>(settings, sink).unwrap())
    };
    Subject { make, codec: Codec::Bincode, is_process: false }
}

/// A worker in Python; the host's executable is the interpreter.
#[cfg(feature = "python-tests")]
pub fn python() -> Subject {
    let make = |config, place, sink| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/worker.py");
        // `-B`: no compiled files beside the sources.
        let args = ["python3", "-B", script].map(Into::into).to_vec();
        let program = WorkerProgram::Program { path: "/usr/bin/env".into(), args };
        children(settings(Codec::Json, program, config, place), sink)
    };
    Subject { make, codec: Codec::Json, is_process: true }
}
