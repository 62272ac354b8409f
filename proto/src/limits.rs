//! Limits of requests and responses, as the comments of the `.proto` files state them.
//!
//! Each service enforces the limits of its contract. Every other program takes its limits from here.

/// Maximum length of a user name, in bytes.
pub const USERNAME_BYTES_MAX: usize = 255;

/// Maximum length of an email address, in bytes.
pub const EMAIL_BYTES_MAX: usize = 320;

/// Maximum length of a password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Maximum length of an imported password hash, in bytes. The longest known format needs about 160.
pub const PASSWORD_HASH_BYTES_MAX: usize = 1024;

/// Maximum length of the address of a browser, in bytes. An IPv6 address with a zone needs at most 62.
pub const CLIENT_ADDRESS_BYTES_MAX: usize = 255;

/// Maximum length of the name of an API client, in bytes.
pub const API_CLIENT_BYTES_MAX: usize = 255;

/// Maximum length of the text of a message, in bytes.
pub const TEXT_BYTES_MAX: usize = 10_000;

/// Maximum number of messages in one page of a timeline.
pub const TIMELINE_MESSAGES_MAX: u32 = 10_000;

/// Maximum number of ids in one page of a follow list.
pub const FOLLOW_LIST_IDS_MAX: u32 = 20_000;

/// Maximum number of authors whose messages are merged into one timeline: an account and the followees
/// in one page of its follow list.
pub const TIMELINE_AUTHORS_MAX: usize = FOLLOW_LIST_IDS_MAX as usize + 1;

/// Maximum number of items in one request of an import of messages or follows.
pub const IMPORT_ITEMS_MAX: u32 = 5_000;

/// Maximum number of messages or follows in one page of an export.
pub const EXPORT_ITEMS_MAX: usize = 1_000;

/// Maximum number of messages, or of follows in each direction, that one call of a deletion deletes.
pub const DELETE_ITEMS_MAX: usize = 1_000;

/// Maximum number of messages in one page of the list of flagged messages.
pub const FLAGGED_MESSAGES_MAX: usize = 100;

/// Maximum number of accounts in one list of recent deletions.
pub const DELETED_USERS_MAX: usize = 1_000;

/// Maximum number of deletions that one call leases.
pub const DELETION_LEASES_MAX: usize = 100;

/// Maximum duration of the lease of a deletion, in milliseconds.
pub const DELETION_LEASE_MILLIS_MAX: u32 = 600_000;
