//! The keys of what is brought over: the same for the same row, however often it is read.
//!
//! They are UUIDs of version 7, whose first 48 bits are milliseconds since 1970. Behind those stands
//! the row's own number, so that rows of one moment keep their order, and a hash of what the row says,
//! so that two old systems can be brought together.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// How many bits of a key are the row's number.
const ROW_BITS: u32 = 48;

/// How many bits are the hash.
const HASH_BITS: u32 = 26;

/// How many bits are the milliseconds.
const MILLIS_BITS: u32 = 48;

/// The key of an account. The old system does not know since when it has somebody.
pub(crate) fn account(user_id: i64, username: &str) -> Option<Uuid> {
    key(0, user_id, &["account", username])
}

/// The key of a message; `None` when its time or its number cannot be part of one.
pub(crate) fn message(message_id: i64, author_id: i64, millis: i64, text: &str) -> Option<Uuid> {
    key(
        millis,
        message_id,
        &["message", &author_id.to_string(), text],
    )
}

/// The stamp of an edge: older than anything that is done in the suite.
pub(crate) fn follow(row: i64) -> Option<Uuid> {
    key(0, row, &["follow"])
}

fn key(millis: i64, row: i64, what: &[&str]) -> Option<Uuid> {
    let millis = u64::try_from(millis)
        .ok()
        .filter(|millis| millis >> MILLIS_BITS == 0)?;
    let row = u64::try_from(row).ok().filter(|row| row >> ROW_BITS == 0)?;
    let mut hasher = Sha256::new();
    for part in what {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    let hash = u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
    let hash = hash >> (64 - HASH_BITS);

    // 12 bits of the number stand before the variant, 36 behind it.
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
    fn keys_are_in_the_order_of_time_and_then_of_rows() {
        let key = |row, millis| message(row, 9, millis, &row.to_string()).unwrap();
        let rows = [1, 2, 4095, 4096, (1 << 36) - 1, 1 << 36, (1 << 48) - 1];
        let keys: Vec<Uuid> = rows.iter().map(|&row| key(row, 5_000)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(key(1, 5_001) > key((1 << 48) - 1, 5_000));
    }

    #[test]
    fn what_does_not_fit_has_no_key() {
        assert_eq!(message(1, 1, -1, ""), None);
        assert_eq!(message(1, 1, 1 << 48, ""), None);
        assert_eq!(message(-1, 1, 0, ""), None);
        assert_eq!(account(1 << 48, "a"), None);
    }

    #[test]
    fn an_edge_is_older_than_anything_done_since() {
        assert!(follow((1 << 48) - 1).unwrap() < chassis::stamp::from_name(1, 0));
    }
}
