//! Frames, codec seam, handshake and channels between two programs that need not trust each other.
