//! Runs processors in threads and child processes, and says exactly how each ended.
