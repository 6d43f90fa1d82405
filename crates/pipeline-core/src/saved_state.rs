//! What an item saves on its way, so that its next attempt need not begin anew.

use std::sync::Arc;

/// The bytes that an attempt saved last; opaque to the engine.
pub type SavedState = Arc<[u8]>;

/// The longest saved state in bytes. What is larger belongs into a file of the processor's own.
pub const SAVED_STATE_BYTES_MAX: usize = 1 << 20;
