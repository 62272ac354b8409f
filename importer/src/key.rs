//! Keys of imported rows. A row has the same key each time it is read.
//!
//! A key is a UUID of version 7, whose first 48 bits are the milliseconds since 1970. The number of the
//! row follows, so rows with the same time keep their order. A hash of the content ends the key, so two
//! old databases can be imported into one suite.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Number of bits for the number of the row.
const ROW_BITS: u32 = 48;

/// Number of bits for the hash.
const HASH_BITS: u32 = 26;

/// Number of bits for the milliseconds.
const MILLIS_BITS: u32 = 48;

/// Key of an account. Its time is zero, because the old system does not store the time of a sign-up.
pub(crate) fn account(user_id: i64, username: &str) -> Option<Uuid> {
    key(0, user_id, &["account", username])
}

/// Key of a message, or `None` if its time or its number is too large, or negative.
pub(crate) fn message(message_id: i64, author_id: i64, millis: i64, text: &str) -> Option<Uuid> {
    key(
        millis,
        message_id,
        &["message", &author_id.to_string(), text],
    )
}

/// Stamp of a follow relation, which is older than each stamp of the suite.
pub(crate) fn follow(row: i64) -> Option<Uuid> {
    key(0, row, &["follow"])
}

fn key(millis: i64, row: i64, content: &[&str]) -> Option<Uuid> {
    let millis = u64::try_from(millis)
        .ok()
        .filter(|millis| millis >> MILLIS_BITS == 0)?;
    let row = u64::try_from(row).ok().filter(|row| row >> ROW_BITS == 0)?;
    let mut hasher = Sha256::new();
    for part in content {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    let hash = u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
    let hash = hash >> (64 - HASH_BITS);

    // 12 bits of the number precede the variant, and 36 bits follow it.
    let tail_bits = ROW_BITS - 12;
    let high = millis << 16 | 0x7000 | row >> tail_bits;
    let tail = (row & ((1 << tail_bits) - 1)) << HASH_BITS | hash;
    Some(Uuid::from_u64_pair(high, 1 << 63 | tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_uuid_of_version_7_with_the_rows_time() {
        let id = message(17, 3, 1_233_065_594_000, "hello").unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(chassis::stamp::millis(id), 1_233_065_594_000);
        assert_eq!(Some(id), message(17, 3, 1_233_065_594_000, "hello"));
        assert_ne!(Some(id), message(17, 3, 1_233_065_594_000, "other"));
    }

    #[test]
    fn keys_are_ordered_by_time_and_then_by_row() {
        let key = |row, millis| message(row, 9, millis, &row.to_string()).unwrap();
        let rows = [1, 2, 4095, 4096, (1 << 36) - 1, 1 << 36, (1 << 48) - 1];
        let keys: Vec<Uuid> = rows.iter().map(|&row| key(row, 5_000)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(key(1, 5_001) > key((1 << 48) - 1, 5_000));
    }

    #[test]
    fn a_number_or_a_time_out_of_bounds_has_no_key() {
        assert_eq!(message(1, 1, -1, ""), None);
        assert_eq!(message(1, 1, 1 << 48, ""), None);
        assert_eq!(message(-1, 1, 0, ""), None);
        assert_eq!(account(1 << 48, "a"), None);
    }

    #[test]
    fn a_follow_relation_is_older_than_each_stamp_of_the_suite() {
        assert!(follow((1 << 48) - 1).unwrap() < chassis::stamp::from_name(1, 0));
    }
}
