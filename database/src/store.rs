//! Errors of stores, and their translation to gRPC statuses.

use tonic::Status;

use chassis::log_limiter::LogLimiter;

/// Limits the log lines about an unavailable database to ten per second, because in an outage every
/// statement fails.
static LINES: LogLimiter = LogLimiter::per_second(10);

/// Error of a store operation. A missing row is not an error, and operations return an `Option` for it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with the same unique key exists.
    #[error("the key is already in use")]
    Conflict,
    /// The database cannot be reached, refuses the statement for now, or did not answer in time. A retry
    /// may succeed.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// Any other error, which shows a defect of this service.
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
    /// Translates the error. Logs the cause here, because the status has an opaque message. `Conflict`
    /// becomes `ALREADY_EXISTS`, `Unavailable` becomes `UNAVAILABLE`, and `Database` becomes `INTERNAL`.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict => Self::already_exists("the key is already in use"),
            StoreError::Unavailable(source) => {
                if let Some(suppressed) = LINES.allow() {
                    tracing::warn!(error = %source, lines_left_out = suppressed, "the database is unavailable");
                }
                Self::unavailable("the database is unavailable")
            }
            StoreError::Database(source) => {
                tracing::error!(error = %source, "the database failed");
                Self::internal("the database failed")
            }
        }
    }
}

/// Whether the error is that of an unavailable database, and not of a wrong statement.
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

/// Whether an error code stands for a temporary failure. The codes are SQLSTATEs (PostgreSQL manual,
/// appendix A) and primary result codes of SQLite.
fn is_outage_code(code: &str) -> bool {
    match code {
        // PostgreSQL: read-only transaction (after a failover), query canceled (statement timeout),
        // serialization failure, deadlock detected, lock not available.
        // SQLite: SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR, SQLITE_FULL.
        "25006" | "57014" | "40001" | "40P01" | "55P03" | "5" | "6" | "10" | "13" => true,
        // Classes of PostgreSQL: connection exception (08), insufficient resources (53), operator
        // intervention (57), system error (58). Invalid authorization (28) is temporary while the
        // password of a role is rotated. A missing database (3D) counts as temporary too.
        _ => code.len() == 5 && ["08", "53", "57", "58", "28", "3D"].contains(&&code[..2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_outages_are_distinguished_from_codes_of_defects() {
        for code in ["08006", "25006", "57P01", "53300", "57014", "5"] {
            assert!(is_outage_code(code), "{code}");
        }
        for code in ["42601", "23505", "22021", "1", "2067"] {
            assert!(!is_outage_code(code), "{code}");
        }
    }

    #[test]
    fn an_outage_is_unavailable_with_an_opaque_message() {
        let status = Status::from(StoreError::from(sqlx::Error::PoolTimedOut));
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert_eq!(status.message(), "the database is unavailable");
    }
}
