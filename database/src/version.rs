//! Versions of lists, for conditional queries.
//!
//! A version is a hash of the ids that determine the content of a list. A caller stores an answer with
//! its version, and sends the version with its next query. The rows are read only if the version has
//! changed, because reading a version is far cheaper than reading the rows.

use uuid::Uuid;

/// The version of a set of ids. The order of the ids does not matter, because their hashes are combined
/// by exclusive or. The version of the empty set is 0.
///
/// This is for engines that cannot compute a version in SQL. Versions of different engines differ.
pub fn of<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> i64 {
    let version = ids.into_iter().fold(0, |version, id| version ^ hash(id));
    version.cast_signed()
}

/// Hash of an id. It mixes both halves, so that the hashes of a few regular ids do not cancel each other.
fn hash(id: &Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    mix(mix(high).wrapping_add(low))
}

/// The finalizer of `SplitMix64`.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_depends_on_the_set_of_ids_alone() {
        let ids: Vec<Uuid> = (0..100).map(Uuid::from_u128).collect();
        let version = of(&ids);
        assert_eq!(version, of(ids.iter().rev()));
        assert_ne!(version, of(&ids[1..]));
        assert_eq!(of(&[]), 0);
        // The exclusive or of these ids without a hash is 0.
        assert_ne!(of(&ids[1..4]), 0);
    }
}
