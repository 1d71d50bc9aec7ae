//! The digest of a state: 256 sums over the rows, kept up row by row.
//!
//! A row belongs to the bucket that the first byte of sha256(table ‖ key) names. A bucket is the sum, modulo 2^256, of
//! sha256(table ‖ key length u32 ‖ key ‖ value) over its rows; the digest is sha256 over all buckets in order. A sum can be
//! updated by subtracting the old row and adding the new one, whatever the order, and two states can be compared bucket by
//! bucket to find the rows that differ.
//!
//! *Strength*: two states that differ by accident (a lost update, another fold) have the same digest with probability
//! 2^-256. It isn't collision resistant against somebody who chooses rows: additive sums of this width fall to generalised
//! birthday attacks of far less than 2^128 work. So the digest compares our own folds of one journal; what outsiders must
//! be able to trust are the records, which are chained by a collision-resistant hash.

use acurast_events::bytes::StateHash;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Number of buckets.
pub const BUCKETS: usize = 256;

const LIMBS: usize = 4;

/// Names a state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Digest> for StateHash {
    fn from(digest: Digest) -> Self {
        Self(digest.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An integer modulo 2^256, least significant limb first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum([u64; LIMBS]);

impl Sum {
    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; LIMBS];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.rchunks_exact(8)) {
            *limb = chunk.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        Self(limbs)
    }

    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.rchunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        bytes
    }

    fn add(&mut self, other: Self) {
        let mut carry = false;
        for (limb, more) in self.0.iter_mut().zip(other.0) {
            let (sum, first) = limb.overflowing_add(more);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first || second;
        }
    }

    fn subtract(&mut self, other: Self) {
        let mut borrow = false;
        for (limb, less) in self.0.iter_mut().zip(other.0) {
            let (rest, first) = limb.overflowing_sub(less);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            *limb = rest;
            borrow = first || second;
        }
    }
}

/// The bucket of a row.
pub(crate) fn bucket_of(table: u8, key: &[u8]) -> u8 {
    let hash: [u8; 32] = Sha256::new().chain_update([table]).chain_update(key).finalize().into();
    let [first, ..] = hash;
    first
}

fn row_hash(table: u8, key: &[u8], value: &[u8]) -> Sum {
    // A key never comes near 4 GiB; were it so, the saturated length would still be the same in every fold.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let hash = Sha256::new().chain_update([table]).chain_update(length.to_be_bytes()).chain_update(key).chain_update(value);
    Sum::from_bytes(&hash.finalize().into())
}

/// The buckets of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketDigests(Box<[Sum]>);

impl Default for BucketDigests {
    fn default() -> Self {
        Self(vec![Sum::default(); BUCKETS].into())
    }
}

impl BucketDigests {
    /// Adds a row; returns its bucket.
    pub fn add(&mut self, table: u8, key: &[u8], value: &[u8]) -> u8 {
        let bucket = bucket_of(table, key);
        if let Some(sum) = self.0.get_mut(usize::from(bucket)) {
            sum.add(row_hash(table, key, value));
        }
        bucket
    }

    /// Takes a row away that was added; returns its bucket.
    pub(crate) fn remove(&mut self, table: u8, key: &[u8], value: &[u8]) -> u8 {
        let bucket = bucket_of(table, key);
        if let Some(sum) = self.0.get_mut(usize::from(bucket)) {
            sum.subtract(row_hash(table, key, value));
        }
        bucket
    }

    /// One bucket's sum, big-endian.
    pub fn bucket(&self, bucket: u8) -> [u8; 32] {
        self.0.get(usize::from(bucket)).copied().unwrap_or_default().to_bytes()
    }

    pub(crate) fn set_bucket(&mut self, bucket: u8, bytes: &[u8; 32]) {
        if let Some(sum) = self.0.get_mut(usize::from(bucket)) {
            *sum = Sum::from_bytes(bytes);
        }
    }

    /// The buckets in which two states differ.
    pub fn differing(&self, other: &Self) -> Vec<u8> {
        (0..=u8::MAX).filter(|bucket| self.bucket(*bucket) != other.bucket(*bucket)).collect()
    }

    /// The digest of the state.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        for sum in &self.0 {
            hash.update(sum.to_bytes());
        }
        Digest(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_that_were_added_and_removed_in_any_order_leave_what_the_rest_gives(
            rows in proptest::collection::vec((0..3u8, proptest::collection::vec(any::<u8>(), 0..3), any::<[u8; 2]>()), 0..40),
            removed in any::<u64>(),
        ) {
            let gone = |index: usize| removed >> (index % 64) & 1 == 1;
            let mut kept = BucketDigests::default();
            let mut all = BucketDigests::default();
            for (index, (table, key, value)) in rows.iter().enumerate() {
                all.add(*table, key, value);
                if !gone(index) {
                    kept.add(*table, key, value);
                }
            }
            for (index, (table, key, value)) in rows.iter().enumerate().rev() {
                if gone(index) {
                    all.remove(*table, key, value);
                }
            }
            prop_assert_eq!(all.digest(), kept.digest());
            prop_assert_eq!(all.differing(&kept), Vec::<u8>::new());
        }

        #[test]
        fn sums_are_taken_modulo_two_to_the_256(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
            let mut sum = Sum::from_bytes(&a);
            sum.add(Sum::from_bytes(&b));
            // Schoolbook addition of bytes, from the right, the last carry dropped.
            let mut expected = [0; 32];
            let mut carry = 0;
            for index in (0..32).rev() {
                let digit = u16::from(a[index]) + u16::from(b[index]) + carry;
                expected[index] = u8::try_from(digit & 0xff).unwrap();
                carry = digit >> 8;
            }
            prop_assert_eq!(sum.to_bytes(), expected);
            sum.subtract(Sum::from_bytes(&b));
            prop_assert_eq!(sum.to_bytes(), a);
        }
    }

    #[test]
    fn the_digest_of_a_known_state_never_changes() {
        // Computed apart, with Python's hashlib.
        let mut state = BucketDigests::default();
        assert_eq!(state.digest().to_string(), "0x9f1dcbc35c350d6027f98be0f5c8b43b42ca52b7604459c0c42be3aa88913d47");
        let bucket = state.add(1, b"key", b"value");
        assert_eq!(bucket, 1);
        assert_eq!(state.digest().to_string(), "0xb219b63d2a282257fbc1d6d598c04e0d42411e1ceefe7888fa340beb9fe2127c");
    }

    #[test]
    fn where_a_key_ends_and_its_value_begins_is_part_of_the_digest() {
        assert_ne!(row_hash(1, b"ab", b"c"), row_hash(1, b"a", b"bc"));
        assert_ne!(row_hash(1, b"", b""), row_hash(0, b"", b""));
    }
}
