//! Decides: processors, items, policies, events and the supervisor as a pure state machine.
