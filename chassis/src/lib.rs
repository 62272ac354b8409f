//! What every process shares, and no domain.
