//! What a job runs: a processor of one item at a time, or one of many at once.

use crate::{AsyncProcessor, Processor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// What a job runs. Every [`Processor`] is one, and so is [`Concurrent`] of every [`AsyncProcessor`]; there is nothing to implement.
pub trait Work: 'static {
    /// [`Processor::NAME`]
    const NAME: &'static str;
    /// [`Processor::VERSION`]
    const VERSION: u32;
    /// [`Processor::Item`]
    type Item: Serialize + DeserializeOwned + Send + 'static;
    /// [`Processor::Output`]
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// [`Processor::Config`]
    type Config: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// [`OneByOne`] or [`ManyAtOnce`]
    type Mode;
    /// Items that one worker works on at a time unless the host says otherwise.
    const SLOTS: u32;
}

/// A worker works on one item at a time.
#[derive(Debug)]
pub enum OneByOne {}

/// A worker works on many items at a time.
#[derive(Debug)]
pub enum ManyAtOnce {}

impl<P: Processor> Work for P {
    const NAME: &'static str = P::NAME;
    const VERSION: u32 = P::VERSION;
    type Item = P::Item;
    type Output = P::Output;
    type Config = P::Config;
    type Mode = OneByOne;
    const SLOTS: u32 = 1;
}

/// An [`AsyncProcessor`] as what a job runs: `Job::<Concurrent<Fetch>>`, `cofferdam::worker!(Concurrent<Fetch>)`.
pub struct Concurrent<P>(PhantomData<fn() -> P>);

impl<P: AsyncProcessor> Work for Concurrent<P> {
    const NAME: &'static str = P::NAME;
    const VERSION: u32 = P::VERSION;
    type Item = P::Item;
    type Output = P::Output;
    type Config = P::Config;
    type Mode = ManyAtOnce;
    const SLOTS: u32 = 16;
}
