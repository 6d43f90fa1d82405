//! A program whose `main` lacks the worker line: a clear error, and nothing is spawned.

use cofferdam::{Isolation, Job, JobError, dense};
use cofferdam_testkit::{Misbehave, Start};

#[test]
fn starting_a_job_without_the_worker_line_is_an_error_that_says_so() {
    for isolation in [Isolation::Process, Isolation::Auto] {
        let dir = tempfile::tempdir().expect("a directory");
        let job = Job::<Misbehave>::new(dir.path(), "job", Start::Well).isolation(isolation);
        match job.start(dense(Vec::new)) {
            Err(JobError::Isolation(error)) => assert!(error.to_string().contains("worker line"), "{error}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("a fork bomb waiting to happen"),
        }
    }
}
