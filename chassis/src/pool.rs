//! The resilient channel.
