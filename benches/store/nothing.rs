//! Nothing: cargo wants a library beside the benchmark.
