//! How an item ended, with the evidence.

/// The final word on an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// The processor returned an output.
    Completed,
    /// The processor returned a [`crate::Failure`] that is not (or no longer) retried.
    Failed,
    /// The item ended its worker once too often.
    Quarantined,
    /// The host cancelled this item.
    Cancelled,
}

impl OutcomeKind {
    /// The kind as it appears in stores and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an item was set aside: what the store keeps and reports show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// [`crate::FailureKind::name`] or [`crate::Exit::kind`] of the last attempt.
    pub kind: String,
    /// The failure's message, or the exit in words.
    pub message: String,
    /// What `cx.stage()` said last; empty when nothing.
    pub stage: String,
    /// What `cx.progress()` said last.
    pub progress: Option<(u64, u64)>,
    /// The last breadcrumbs, oldest first.
    pub breadcrumbs: Vec<String>,
    /// The calls that led to a panic, innermost first; empty when unknown.
    pub backtrace: String,
    /// The end of what the worker wrote to stderr, control characters neutralised. A hint: the worker can forge it.
    pub stderr_tail: String,
}
