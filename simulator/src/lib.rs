//! The course's simulator as a first-class tool.
