//! What can go wrong in a store, and its one translation to gRPC.

use tonic::Status;

use chassis::log_limiter::LogLimiter;

/// How many lines a second tell that the database is away: every statement finds out.
static LINES: LogLimiter = LogLimiter::per_second(10);

/// A failed store operation. "Not found" is no failure but an `Option`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique key is taken.
    #[error("the key is taken")]
    Conflict,
    /// The database cannot be reached, refuses, or did not answer in time; later it may.
    #[error("the database is away")]
    Unavailable(#[source] sqlx::Error),
    /// Anything else; a fault of ours.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Self::Conflict,
            _ if is_outage(&error) => Self::Unavailable(error),
            _ => Self::Database(error),
        }
    }
}

impl From<StoreError> for Status {
    /// Logs a server's fault once, here, with its source; callers see an opaque message.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict => Self::already_exists("the key is taken"),
            StoreError::Unavailable(source) => {
                if let Some(unsaid) = LINES.allow() {
                    tracing::warn!(error = %source, lines_left_out = unsaid, "the database is away");
                }
                Self::unavailable("the database is away")
            }
            StoreError::Database(source) => {
                tracing::error!(error = %source, "the database failed");
                Self::internal("the database failed")
            }
        }
    }
}

/// Whether the database is away rather than the statement wrong.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| is_outage_code(&code)),
        _ => false,
    }
}

/// SQLSTATEs that pass (PostgreSQL, appendix A) and SQLite's primary result codes that do.
fn is_outage_code(code: &str) -> bool {
    match code {
        // Read-only after a fail-over; statement time-out; serialisation failure; deadlock;
        // lock not available. Then SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR, SQLITE_FULL.
        "25006" | "57014" | "40001" | "40P01" | "55P03" | "5" | "6" | "10" | "13" => true,
        // Connection exceptions, insufficient resources, operator intervention. The password of a
        // role that is just being rotated (28) passes as well, and so does a missing database (3D).
        _ => code.len() == 5 && ["08", "53", "57", "58", "28", "3D"].contains(&&code[..2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_is_wrong() {
        for code in ["08006", "25006", "57P01", "53300", "57014", "5"] {
            assert!(is_outage_code(code), "{code}");
        }
        for code in ["42601", "23505", "22021", "1", "2067"] {
            assert!(!is_outage_code(code), "{code}");
        }
    }

    #[test]
    fn an_outage_is_unavailable_and_says_nothing_of_the_database() {
        let status = Status::from(StoreError::from(sqlx::Error::PoolTimedOut));
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert_eq!(status.message(), "the database is away");
    }
}
