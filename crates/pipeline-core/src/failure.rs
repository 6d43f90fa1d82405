//! How a processor says that an item did not work out.

use crate::OutputLost;
use std::time::Duration;

/// Why an item failed; decides whether it is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// May work next time: retried with backoff.
    Transient,
    /// The far side asked for patience: retried, not before `retry_after`.
    RateLimited {
        /// The least time to wait before the next attempt.
        retry_after: Duration,
    },
    /// There is no network: retried with backoff.
    Offline,
    /// The input is at fault: never retried.
    InvalidInput,
    /// No item can succeed (a missing model, wrong credentials): the job stops, unfinished items stay pending.
    Fatal,
    /// The attempt was told to stop and did; it settles nothing and charges nobody.
    Interrupted,
}

impl FailureKind {
    /// The kind as it appears in stores and reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited { .. } => "rate-limited",
            Self::Offline => "offline",
            Self::InvalidInput => "invalid-input",
            Self::Fatal => "fatal",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A processor's answer for an item that did not work out.
///
/// Any [`std::error::Error`] converts with `?`, as [`FailureKind::InvalidInput`] with its sources in the message (as
/// [`FailureKind::Transient`] where one of them is [`OutputLost`]); so `Failure` itself implements no `Error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Decides what happens next.
    pub kind: FailureKind,
    /// For people; cut to [`Failure::MESSAGE_LEN_MAX`] bytes on its way.
    pub message: String,
}

impl Failure {
    /// The longest message in bytes that travels and is stored.
    pub const MESSAGE_LEN_MAX: usize = 8 * 1024;

    /// A failure of the given kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(Self::MESSAGE_LEN_MAX));
        Self { kind, message }
    }

    /// May work next time.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, message)
    }

    /// The input is at fault.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidInput, message)
    }

    /// No item can succeed.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Fatal, message)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        let mut kind = FailureKind::InvalidInput;
        while let Some(cause) = source {
            if cause.is::<OutputLost>() {
                kind = FailureKind::Transient;
            }
            let text = cause.to_string();
            // Many libraries print their cause as the end of their own message.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::new(kind, message)
    }
}
