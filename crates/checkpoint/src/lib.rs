//! The durable store: what must be true after a power cut.
