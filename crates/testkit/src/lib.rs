//! Breaks things: misbehaving processors, simulated disks, chaos.
