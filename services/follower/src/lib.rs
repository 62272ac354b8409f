//! The follower service.
