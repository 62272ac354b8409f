//! Versions of lists: "still version v?", and only then the rows.
//!
//! A caller keeps an answer together with its version, a hash of the ids that decide what it lists,
//! and names it when it asks again. A version is far cheaper to read than the rows.

use uuid::Uuid;

/// The version of a list of ids, whatever their order: each id hashed, and the hashes folded.
///
/// For engines that cannot compute one themselves. Versions of different engines differ.
pub fn of<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> i64 {
    let folded = ids.into_iter().fold(0, |version, id| version ^ hash(id));
    folded.cast_signed()
}

/// Each half is mixed well enough that no few ids, however regular, fold to nothing.
fn hash(id: &Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    mix(mix(high).wrapping_add(low))
}

/// The finaliser of `SplitMix64`.
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
    fn a_version_is_of_the_set_alone() {
        let ids: Vec<Uuid> = (0..100).map(Uuid::from_u128).collect();
        let version = of(&ids);
        assert_eq!(version, of(ids.iter().rev()));
        assert_ne!(version, of(&ids[1..]));
        assert_eq!(of(&[]), 0);
        // What a plain exclusive or of the ids would take for nothing.
        assert_ne!(of(&ids[1..4]), 0);
    }
}
