//! What the workers do.

use crate::support::sys;
use crate::work::Work;
use cofferdam::{Context, Failure, Processor, StartContext};
use serde_bytes::ByteBuf;

/// The least that a processor can do.
pub struct AddOne;

impl Processor for AddOne {
    const NAME: &'static str = "add-one";
    const VERSION: u32 = 1;
    type Item = u64;
    type Output = u64;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, x: u64, _: &Context<'_>) -> Result<u64, Failure> {
        Ok(x + 1)
    }
}

/// Sends back what it gets.
pub struct Echo;

impl Processor for Echo {
    const NAME: &'static str = "echo";
    const VERSION: u32 = 1;
    type Item = ByteBuf;
    type Output = ByteBuf;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, bytes: ByteBuf, _: &Context<'_>) -> Result<ByteBuf, Failure> {
        Ok(bytes)
    }
}

/// Fixed work, calibrated by the host to a millisecond; says when it was done, on the clock that all processes share.
pub struct OneMillisecond {
    work: Work,
}

impl Processor for OneMillisecond {
    const NAME: &'static str = "one-millisecond";
    const VERSION: u32 = 1;
    type Item = u64;
    type Output = (u64, u64);
    type Config = u64;

    fn start(turns: u64, _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self { work: Work { turns } })
    }

    fn process(&mut self, seed: u64, _: &Context<'_>) -> Result<(u64, u64), Failure> {
        let result = self.work.one_millisecond(seed);
        Ok((result, sys::monotonic_nanos().unwrap_or(0)))
    }
}
