//! The message service.
