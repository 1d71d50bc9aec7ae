//! Keys of the store. One key space; integers big-endian.
//!
//! ```text
//! 0x00 "identity"                     genesis 32 ‖ topic prefix; never changes its form
//! 0x00 "schema"                       layout.schema as text
//! 0x01 partition u32 ‖ topic          id u32: the short name of the partition below
//! 0x02 id                             Applied, postcard
//! 0x03 id ‖ bucket u8                 sum of the bucket, 32 bytes
//! 0x04 id ‖ answered input            empty; the key is the fact
//! 0x05 id ‖ next sequence u64         landmark: Frontier of this partition's own log, postcard
//! 0x06 id ‖ table u8 ‖ key            state row
//! ```

use acurast_events::bytes::Bytes;
use acurast_events::record::InputRef;
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Sequence;

pub(crate) const IDENTITY_KEY: &[u8] = b"\x00identity";
pub(crate) const SCHEMA_KEY: &[u8] = b"\x00schema";
pub(crate) const PARTITIONS: u8 = 1;
const APPLIED: u8 = 2;
const BUCKETS: u8 = 3;
const ANSWERED: u8 = 4;
const LANDMARKS: u8 = 5;
const ROWS: u8 = 6;

/// Short name of a partition within a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionId(pub(crate) u32);

impl PartitionId {
    fn prefix(self, kind: u8) -> Vec<u8> {
        [&[kind], &self.0.to_be_bytes()[..]].concat()
    }

    pub(crate) fn applied(self) -> Vec<u8> {
        self.prefix(APPLIED)
    }

    pub(crate) fn buckets(self) -> Vec<u8> {
        self.prefix(BUCKETS)
    }

    pub(crate) fn bucket(self, bucket: u8) -> Vec<u8> {
        [&self.prefix(BUCKETS)[..], &[bucket]].concat()
    }

    pub(crate) fn answered_inputs(self) -> Vec<u8> {
        self.prefix(ANSWERED)
    }

    /// The key of an answered input: its postcard form, which is read back as a whole and never searched in parts.
    pub(crate) fn answered(self, input: &InputRef, subject: &Bytes) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_extend(&(input, subject), self.prefix(ANSWERED))
    }

    pub(crate) fn landmarks(self) -> Vec<u8> {
        self.prefix(LANDMARKS)
    }

    pub(crate) fn landmark(self, next: Sequence) -> Vec<u8> {
        [&self.prefix(LANDMARKS)[..], &next.0.to_be_bytes()].concat()
    }

    pub(crate) fn table(self, table: u8) -> Vec<u8> {
        [&self.prefix(ROWS)[..], &[table]].concat()
    }

    pub(crate) fn tables(self) -> Vec<u8> {
        self.prefix(ROWS)
    }

    pub(crate) fn row(self, table: u8, key: &[u8]) -> Vec<u8> {
        [&self.table(table)[..], key].concat()
    }
}

/// Where a partition's id stands.
pub(crate) fn partition_key(at: &TopicPartition) -> Vec<u8> {
    [&[PARTITIONS], &at.partition.to_be_bytes()[..], at.topic.as_str().as_bytes()].concat()
}

/// The partition of such a key.
pub(crate) fn partition_of(key: &[u8]) -> Option<TopicPartition> {
    let (partition, topic) = key.get(1..)?.split_first_chunk()?;
    Some(TopicName::new(std::str::from_utf8(topic).ok()?).partition(u32::from_be_bytes(*partition)))
}

/// The first key after all that begin with `prefix`; nothing if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix.get(..=last)?.to_vec();
    let byte = after.last_mut()?;
    *byte = byte.checked_add(1)?;
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_after_a_prefix_is_the_least_that_does_not_begin_with_it() {
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255]), None);
        assert_eq!(after_prefix(&[]), None);
    }

    #[test]
    fn a_partition_s_key_names_it() {
        let at = TopicName::new("acurast.jobs.v1").partition(7);
        assert_eq!(partition_of(&partition_key(&at)), Some(at));
        assert_eq!(partition_of(&[PARTITIONS, 0, 0]), None);
    }
}
