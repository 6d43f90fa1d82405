//! The worker line, and its counterpart in tests.

/// What the macros need; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use cofferdam_isolation::{Registration, worker_entry};

    /// The name by which libtest knows the test in module `module`: without the crate.
    #[must_use]
    pub fn test_name(module: &str, test: &str) -> String {
        match module.split_once("::") {
            Some((_crate, rest)) => format!("{rest}::{test}"),
            None => test.to_owned(),
        }
    }
}

/// The worker line: the first line of `main`. Returns in the host and never returns in a worker.
///
/// Name every processor that jobs of this program run.
///
/// ```no_run
/// # use cofferdam::{Context, Failure, Processor, StartContext};
/// # struct Facts;
/// # impl Processor for Facts {
/// #     const NAME: &'static str = "facts";
/// #     const VERSION: u32 = 1;
/// #     type Item = u64;
/// #     type Output = u64;
/// #     type Config = ();
/// #     fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> { Ok(Self) }
/// #     fn process(&mut self, item: u64, _: &Context<'_>) -> Result<u64, Failure> { Ok(item) }
/// # }
/// fn main() {
///     cofferdam::worker!(Facts);
///     // arguments, windows, jobs …
/// }
/// ```
///
/// An executable that is a worker and nothing else has the same line and nothing behind it but a word to whoever starts it by
/// hand; its host names it with [`WorkerProgram::Program`](crate::WorkerProgram::Program). It may be another build than the host.
#[macro_export]
macro_rules! worker {
    ($($processor:ty),+ $(,)?) => {
        $crate::__private::worker_entry(&[$($crate::__private::Registration::of::<$processor>()),+])
    };
}

/// The worker line of a test binary: a `#[test]` that workers re-enter by its exact name, since `main` belongs to the test harness.
///
/// `worker_test!(workers: Facts);` makes a module with the test and with `program()`, to be given to
/// [`crate::Job::worker_program`]. It works under `cargo test` and under nextest.
#[macro_export]
macro_rules! worker_test {
    ($name:ident: $($processor:ty),+ $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "the processors may be named by path")]
            use super::*;

            #[test]
            fn worker_entry() {
                $crate::worker!($($processor),+);
            }

            /// Starts this test binary again as a worker.
            pub fn program() -> $crate::WorkerProgram {
                $crate::worker!($($processor),+); // marks the host; a worker never gets here
                let name = $crate::__private::test_name(module_path!(), "worker_entry");
                $crate::WorkerProgram::Test { name }
            }
        }
    };
}
